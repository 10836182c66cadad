//! Workspaces: the tenants.

/// A workspace was created.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct WorkspaceCreated {
    /// The display name.
    #[prost(string, tag = "1")]
    pub name: String,
}
