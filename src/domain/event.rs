//! The events of the mutation log: each change, with its author.
//!
//! As in [`click`](super::click), the messages are derived protobuf with permanent field numbers.
//! Consumers see only the current types: fields that old records lack are filled in here.

pub use super::domains::state::{DomainRemoved, DomainState};
pub use super::link::deletion::{LinkDeleted, LinkPurged};
pub use super::link::state::LinkState;
pub use super::plan::recharge::{AutoRecharge, Recharge, RechargeFailed};
pub use super::plan::state::{
    ApiCallsCounted, AssignedPlan, CreditGrant, CreditsReleased, CreditsReserved, CreditsWithdrawn,
    Debit, PlanChanged,
};
pub use super::plan::subscription::{PaymentRefunded, SubscriptionChange};
pub use super::preset::state::{UtmPresetDeleted, UtmPresetState};
pub use super::qr::state::{
    LogoDeleted, LogoStored, QrCodeDeleted, QrCodeState, QrDefaultsChanged,
};
pub use super::report::{LinkReported, ReportResolved};
pub use super::session::{SessionEnded, SessionState};
pub use super::token::state::{TokenRevoked, TokenState};
pub use super::user::state::{SignInFailed, UserDeleted, UserState};
pub use super::workspace::state::{
    InvitationRevoked, InvitationState, MemberRemoved, MemberState, OwnershipOffered,
    OwnershipTransferred, WorkspaceCreated, WorkspaceDeleted, WorkspacePurged, WorkspaceRenamed,
    WorkspaceRestored,
};

/// The current layout version of the envelope.
pub const VERSION: u16 = 1;

/// The kind of thing that an event happens to: what a command is decided on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aggregate {
    /// A workspace, with its members and invitations.
    Workspace,
    /// A user, with the sessions.
    User,
    /// An API token.
    Token,
    /// A link, with the reports of it.
    Link,
    /// A domain.
    Domain,
    /// A campaign.
    Campaign,
    /// A UTM template.
    UtmTemplate,
    /// The plan, the usage and the credits of a workspace.
    Billing,
    /// A QR code, a logo, or the brand defaults of QR codes.
    QrCode,
}

/// Declares all events: `tag Name(Payload) of Aggregate[field];`. The tag is the field number of the
/// message and the kind of the record; 100 to 199 are those of the click log. The field has the 16
/// bytes of the subject's id; none if the subject is the workspace.
macro_rules! events {
    ($($(#[$doc:meta])* $tag:literal $name:ident($payload:ty) of $aggregate:ident[$($id:ident)?];)*) => {
        /// A record of the mutation log.
        #[derive(Clone, PartialEq, prost::Message)]
        pub struct Envelope {
            /// The time of the change, in milliseconds since the Unix epoch.
            #[prost(uint64, tag = "1")]
            pub at_ms: u64,
            /// The 16 bytes of the workspace's id.
            #[prost(bytes = "vec", tag = "2")]
            pub workspace: Vec<u8>,
            /// The 16 bytes of the id of the requesting token; empty for the service itself.
            #[prost(bytes = "vec", tag = "3")]
            pub token: Vec<u8>,
            /// The request's idempotency key, if it had one.
            #[prost(message, optional, tag = "4")]
            pub idempotency: Option<Idempotency>,
            /// When that key expires, in milliseconds since the Unix epoch; `None` in records of
            /// older versions, see
            /// [`idempotency_expires_at_ms`](Self::idempotency_expires_at_ms).
            #[prost(uint64, optional, tag = "5")]
            pub idempotency_until_ms: Option<u64>,
            /// The 16 bytes of the id of the requesting user; empty for machine tokens and the
            /// service itself.
            #[prost(bytes = "vec", tag = "6")]
            pub user: Vec<u8>,
            /// The credits that the command used; `None` within the allowance of the plan.
            #[prost(message, optional, tag = "7")]
            pub debit: Option<Debit>,
            /// The 16 bytes of the id of the reservation that the command uses first; empty for
            /// none.
            #[prost(bytes = "vec", tag = "8")]
            pub reservation: Vec<u8>,
            /// The event.
            #[prost(oneof = "Event", tags($($tag),*))]
            pub event: Option<Event>,
        }

        /// An event, in the past tense.
        #[derive(Clone, PartialEq, prost::Oneof)]
        pub enum Event {
            $($(#[$doc])* #[prost(message, tag = $tag)] $name($payload),)*
        }

        /// The kind of an event, which lets a reader skip a record without decoding it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u16)]
        pub enum EventKind {
            $($(#[$doc])* $name = $tag,)*
        }

        impl Event {
            /// Its kind.
            pub const fn kind(&self) -> EventKind {
                match self {
                    $(Self::$name(_) => EventKind::$name,)*
                }
            }

            /// The kind of thing that it happened to.
            pub const fn aggregate(&self) -> Aggregate {
                match self {
                    $(Self::$name(_) => Aggregate::$aggregate,)*
                }
            }

            /// The 16 bytes of the subject's id; empty for the workspace itself.
            pub fn subject(&self) -> &[u8] {
                match self {
                    $(Self::$name(_payload) => events!(@subject _payload $($id)?),)*
                }
            }
        }

        impl EventKind {
            /// All kinds.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The number of kinds.
            pub const COUNT: u32 = 0 $(+ events!(@one $name))*;

            /// The name of the event, such as `LinkCreated`.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }
        }
    };
    (@one $name:ident) => { 1 };
    (@subject $payload:ident) => { &[] };
    (@subject $payload:ident $id:ident) => { &$payload.$id };
}

events! {
    /// A workspace was created.
    10 WorkspaceCreated(WorkspaceCreated) of Workspace[];
    /// An API token was created.
    11 TokenCreated(TokenState) of Token[id];
    /// An API token was revoked.
    12 TokenRevoked(TokenRevoked) of Token[token];
    /// An API token was changed: the token, in full.
    13 TokenChanged(TokenState) of Token[id];
    /// The secret of an API token was replaced: the token, in full.
    14 TokenRotated(TokenState) of Token[id];
    /// A workspace was renamed.
    15 WorkspaceRenamed(WorkspaceRenamed) of Workspace[];
    /// A workspace was deleted; it can be restored for some time.
    16 WorkspaceDeleted(WorkspaceDeleted) of Workspace[];
    /// A deleted workspace was restored.
    17 WorkspaceRestored(WorkspaceRestored) of Workspace[];
    /// All data of a deleted workspace was purged.
    18 WorkspacePurged(WorkspacePurged) of Workspace[];
    /// A link was created: its first version.
    20 LinkCreated(LinkState) of Link[id];
    /// A link was changed: its next version, in full.
    21 LinkChanged(LinkState) of Link[id];
    /// A link was deleted; its slug is available again.
    22 LinkDeleted(LinkDeleted) of Link[link];
    /// A deleted link was restored: the version after its deletion, in full.
    23 LinkRestored(LinkState) of Link[id];
    /// A link was permanently removed, whether it was deleted or not.
    24 LinkPurged(LinkPurged) of Link[link];
    /// A visitor reported a link.
    26 LinkReported(LinkReported) of Link[link];
    /// A report was resolved.
    27 ReportResolved(ReportResolved) of Link[report];
    /// A workspace claimed a domain.
    30 DomainAdded(DomainState) of Domain[id];
    /// A domain's settings were changed: the domain, in full.
    31 DomainChanged(DomainState) of Domain[id];
    /// A workspace proved that it owns a domain.
    32 DomainVerified(DomainState) of Domain[id];
    /// A domain was removed from its workspace.
    33 DomainRemoved(DomainRemoved) of Domain[domain];
    /// A campaign was created.
    40 CampaignCreated(UtmPresetState) of Campaign[id];
    /// A campaign was changed: the campaign, in full.
    41 CampaignChanged(UtmPresetState) of Campaign[id];
    /// A campaign without links was deleted.
    42 CampaignDeleted(UtmPresetDeleted) of Campaign[id];
    /// A UTM template was created.
    43 UtmTemplateCreated(UtmPresetState) of UtmTemplate[id];
    /// A UTM template was changed: the template, in full.
    44 UtmTemplateChanged(UtmPresetState) of UtmTemplate[id];
    /// A UTM template was deleted.
    45 UtmTemplateDeleted(UtmPresetDeleted) of UtmTemplate[id];
    /// A user was created, with a personal workspace.
    50 UserCreated(UserState) of User[id];
    /// A user was changed: the user, in full.
    51 UserChanged(UserState) of User[id];
    /// A user was deleted.
    52 UserDeleted(UserDeleted) of User[user];
    /// A user set another password.
    53 PasswordChanged(UserState) of User[id];
    /// A user turned two-factor authentication on.
    54 TwoFactorEnabled(UserState) of User[id];
    /// A user turned two-factor authentication off.
    55 TwoFactorDisabled(UserState) of User[id];
    /// A user was blocked.
    56 UserBlocked(UserState) of User[id];
    /// A user was unblocked.
    57 UserUnblocked(UserState) of User[id];
    /// A user signed in.
    60 SessionStarted(SessionState) of User[id];
    /// A session ended.
    61 SessionEnded(SessionEnded) of User[session];
    /// Signing in failed.
    62 SignInFailed(SignInFailed) of User[user];
    /// A user became a member of a workspace.
    70 MemberAdded(MemberState) of Workspace[user];
    /// A member got another role.
    71 MemberChanged(MemberState) of Workspace[user];
    /// A member was removed or left.
    72 MemberRemoved(MemberRemoved) of Workspace[user];
    /// An invitation was sent, for the first time or again.
    73 InvitationSent(InvitationState) of Workspace[id];
    /// An invitation was revoked.
    74 InvitationRevoked(InvitationRevoked) of Workspace[invitation];
    /// The ownership of a workspace was offered to a member, or the offer was withdrawn.
    75 OwnershipOffered(OwnershipOffered) of Workspace[user];
    /// The ownership of a workspace was transferred.
    76 OwnershipTransferred(OwnershipTransferred) of Workspace[user];
    /// The plan of a workspace was changed.
    80 PlanChanged(PlanChanged) of Billing[];
    /// Requests to the API were counted.
    81 ApiCallsCounted(ApiCallsCounted) of Billing[];
    /// Credits were granted.
    82 CreditsGranted(CreditGrant) of Billing[id];
    /// The unused credits of a grant were withdrawn, as its payment was refunded.
    83 CreditsRefunded(CreditsWithdrawn) of Billing[grant];
    /// The unused credits of a grant expired.
    84 CreditsExpired(CreditsWithdrawn) of Billing[grant];
    /// A subscription started; its plan applies.
    85 SubscriptionStarted(SubscriptionChange) of Billing[];
    /// A period of a subscription was paid.
    86 SubscriptionRenewed(SubscriptionChange) of Billing[];
    /// The plan, the period or the state of a subscription was changed.
    87 SubscriptionChanged(SubscriptionChange) of Billing[];
    /// A payment for a subscription failed.
    88 SubscriptionPastDue(SubscriptionChange) of Billing[];
    /// A subscription was canceled; it ends later.
    89 SubscriptionCanceled(SubscriptionChange) of Billing[];
    /// A subscription ended; the plan from before it applies.
    90 SubscriptionExpired(SubscriptionChange) of Billing[];
    /// A payment was refunded.
    91 PaymentRefunded(PaymentRefunded) of Billing[grant];
    /// The auto-recharge of a kind of credits was changed: the settings, in full.
    92 AutoRechargeChanged(AutoRecharge) of Billing[];
    /// Credits were requested, as too few were left.
    93 RechargeRequested(Recharge) of Billing[id];
    /// The payment of requested credits failed, or was not reported in time.
    94 RechargeFailed(RechargeFailed) of Billing[id];
    /// Credits were reserved for an import, which starts.
    95 CreditsReserved(CreditsReserved) of Billing[id];
    /// What an import did not use of its reserved credits was released.
    96 CreditsReleased(CreditsReleased) of Billing[id];
    /// A QR code was created: its first version. The offset of the record is the code's number.
    200 QrCodeCreated(QrCodeState) of QrCode[id];
    /// A QR code was changed: its next version, in full.
    201 QrCodeChanged(QrCodeState) of QrCode[id];
    /// A QR code was deleted.
    202 QrCodeDeleted(QrCodeDeleted) of QrCode[id];
    /// A logo was stored.
    203 LogoStored(LogoStored) of QrCode[id];
    /// A logo was deleted.
    204 LogoDeleted(LogoDeleted) of QrCode[id];
    /// The brand defaults of a workspace or a domain were changed: the defaults, in full.
    205 QrDefaultsChanged(QrDefaultsChanged) of QrCode[domain];
}

impl EventKind {
    /// The kind of a log record.
    pub const fn number(self) -> u16 {
        self as u16
    }

    /// The kind with this number, if any.
    pub fn of_number(number: u16) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.number() == number)
    }
}

/// An idempotency key, which identifies retries of a request.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Idempotency {
    /// The `Idempotency-Key` header.
    #[prost(string, tag = "1")]
    pub key: String,
    /// SHA-256 of the request.
    #[prost(bytes = "vec", tag = "2")]
    pub request_sha256: Vec<u8>,
}

impl Idempotency {
    /// The key of one item of a bulk request. No client can send such a key, because a header value
    /// can't contain control characters.
    #[must_use]
    pub fn of_item(&self, place: usize) -> Self {
        let request_sha256 = self.request_sha256.clone();
        Self { key: format!("{}\u{1}{place}", self.key), request_sha256 }
    }
}
