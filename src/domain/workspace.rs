//! Workspaces: the tenants.

/// A workspace began.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct WorkspaceCreated {
    /// What people call it.
    #[prost(string, tag = "1")]
    pub name: String,
}
