//! Random but valid histories: each event is possible after those before it.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::domain::event::{
    Debit, Idempotency, InvitationRevoked, InvitationState, LinkDeleted, LinkPurged, LinkState,
    MemberRemoved, MemberState, SessionState, TokenRevoked, TokenState, UserDeleted, UserState,
    UtmPresetDeleted, UtmPresetState, WorkspaceCreated, WorkspaceDeleted, WorkspaceRenamed,
    WorkspaceRestored,
};
use crate::domain::ids::{CampaignId, RuleId, UserId, WorkspaceId};
use crate::domain::link::{
    Field, Gates, Labels, LinkContext, LinkFields, LinkInput, LinkPolicy, WriteMode,
};
use crate::domain::report::{LinkReported, ReportResolved};

pub const DAY_MS: u64 = 24 * 3_600 * 1_000;

/// An operation; numbers are taken modulo the number of candidates.
#[derive(Debug, Clone)]
pub enum Op {
    Create {
        slug: u16,
        key: Option<u8>,
        /// Random labels, if any.
        labels: Option<u32>,
    },
    Change {
        link: u16,
        slug: u16,
        labels: Option<u32>,
    },
    /// Creates or renames a campaign.
    PutCampaign {
        number: u8,
        name: u8,
    },
    DeleteCampaign {
        number: u8,
    },
    Delete {
        link: u16,
    },
    /// A visitor reports a link.
    Report {
        link: u16,
    },
    Resolve {
        report: u16,
    },
    /// Restores one of the deleted links, even after the deadline.
    Restore {
        link: u16,
        slug: u16,
    },
    /// Purges a live or a deleted link.
    Purge {
        link: u16,
        is_deleted: bool,
    },
    /// Something happens to a user, or to the plan, the usage or the credits of a workspace: the
    /// kind of event, the user and the workspace.
    Account {
        kind: u8,
        user: u8,
        workspace: u8,
    },
    CreateToken,
    RevokeToken {
        token: u16,
    },
    /// Something happens to a QR code, a logo or the brand defaults.
    Qr {
        kind: u8,
        number: u16,
    },
    /// Time passes, in minutes; an idempotency key is kept for a day.
    Wait {
        minutes: u16,
    },
}

pub fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (0..200_u16, prop::option::weighted(0.4, 0..40_u8), labels())
            .prop_map(|(slug, key, labels)| Op::Create { slug, key, labels }),
        3 => (any::<u16>(), 0..200_u16, labels())
            .prop_map(|(link, slug, labels)| Op::Change { link, slug, labels }),
        1 => (0..8_u8, 0..8_u8).prop_map(|(number, name)| Op::PutCampaign { number, name }),
        1 => (0..8_u8).prop_map(|number| Op::DeleteCampaign { number }),
        2 => any::<u16>().prop_map(|link| Op::Delete { link }),
        2 => any::<u16>().prop_map(|link| Op::Report { link }),
        1 => any::<u16>().prop_map(|report| Op::Resolve { report }),
        2 => (any::<u16>(), 0..200_u16).prop_map(|(link, slug)| Op::Restore { link, slug }),
        1 => (any::<u16>(), any::<bool>())
            .prop_map(|(link, is_deleted)| Op::Purge { link, is_deleted }),
        7 => (0..27_u8, 0..4_u8, 0..3_u8)
            .prop_map(|(kind, user, workspace)| Op::Account { kind, user, workspace }),
        4 => (0..10_u8, any::<u16>()).prop_map(|(kind, number)| Op::Qr { kind, number }),
        1 => Just(Op::CreateToken),
        1 => any::<u16>().prop_map(|token| Op::RevokeToken { token }),
        2 => (0..900_u16).prop_map(|minutes| Op::Wait { minutes }),
        // About as long as a deleted link can be restored.
        1 => (36_000..50_000_u16).prop_map(|minutes| Op::Wait { minutes }),
    ]
}

fn labels() -> impl Strategy<Value = Option<u32>> {
    prop::option::weighted(0.6, any::<u32>())
}

/// The expected state.
#[derive(Default)]
pub struct Model {
    pub links: BTreeMap<Vec<u8>, (WorkspaceId, LinkState)>,
    pub tokens: BTreeMap<Vec<u8>, TokenState>,
    pub reports: BTreeMap<Vec<u8>, (WorkspaceId, LinkReported)>,
    pub campaigns: BTreeMap<u8, UtmPresetState>,
    /// The users, with how often each was changed.
    pub users: BTreeMap<u8, u32>,
    /// The members of each workspace.
    pub members: BTreeSet<(u8, u8)>,
    /// Restorable links and their deadlines.
    pub deleted: BTreeMap<Vec<u8>, (WorkspaceId, LinkState, u64)>,
    /// QR codes that were not deleted themselves.
    pub codes: BTreeMap<Vec<u8>, super::qr_codes::Code>,
    pub logos: BTreeSet<Vec<u8>>,
    /// The number of events in the audit log.
    pub audited: u64,
    pub made: u64,
    pub now_ms: u64,
}

/// The random parts of a link.
struct Labelled {
    labels: Option<Labels>,
    gates: Option<Gates>,
}

impl Labelled {
    fn of(fields: LinkFields) -> Self {
        let labels = (fields.labels != Labels::default()).then_some(fields.labels);
        let gates = (fields.gates != Gates::default()).then_some(fields.gates);
        Self { labels, gates }
    }
}

pub fn campaign(number: u8) -> CampaignId {
    CampaignId::new(uuid::Uuid::from_u128(u128::from(number) + 1))
}

pub fn user_id(number: u8) -> UserId {
    UserId::new(uuid::Uuid::from_u128(u128::from(number) + 1_000))
}

pub fn workspace(number: u64) -> WorkspaceId {
    WorkspaceId::new(uuid::Uuid::from_u128(u128::from(number % 3) + 1))
}

impl Model {
    /// The event of an operation, if it is possible.
    pub fn next(&mut self, op: &Op) -> Option<Envelope> {
        self.made += 1;
        let made = self.made;
        let mut key = None;
        let mut owner = workspace(made);
        let event = match op {
            Op::Wait { minutes } => {
                self.now_ms += u64::from(*minutes) * 60_000;
                return None;
            }
            Op::Create { slug, key: sent, labels } => {
                key = *sent;
                let mut id = ((1_000 + made / 3) << 16).to_be_bytes().to_vec();
                id.extend_from_slice(&made.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes());
                let link = self.link(id, *slug, 1)?;
                let link = self.labelled(link, owner, *labels);
                self.links.insert(link.id.clone(), (owner, link.clone()));
                Event::LinkCreated(link)
            }
            Op::Change { link, slug, labels } => {
                let (id, before) = self.some_link(*link)?;
                owner = before.0;
                let link = self.link(id, *slug, before.1.version + 1)?;
                let link = self.labelled(link, owner, *labels);
                self.links.insert(link.id.clone(), (owner, link.clone()));
                Event::LinkChanged(link)
            }
            Op::Delete { .. } | Op::Restore { .. } | Op::Purge { .. } | Op::Qr { .. } => {
                let (of, event) = match op {
                    Op::Delete { link } => self.delete_event(*link)?,
                    Op::Qr { kind, number } => self.qr_event(*kind, *number)?,
                    _ => self.bring_back_or_purge(op)?,
                };
                owner = of;
                event
            }
            Op::Report { link } => {
                let (link, before) = self.some_link(*link)?;
                owner = before.0;
                let id = u128::from(made).to_be_bytes().to_vec();
                let report = LinkReported { id, link, ..LinkReported::default() };
                self.reports.insert(report.id.clone(), (owner, report.clone()));
                Event::LinkReported(report)
            }
            Op::Resolve { report } => {
                let place = usize::from(*report) % self.reports.len().max(1);
                let report = self.reports.keys().nth(place)?.clone();
                owner = self.reports.remove(&report)?.0;
                Event::ReportResolved(ReportResolved { report })
            }
            Op::PutCampaign { .. } | Op::DeleteCampaign { .. } => {
                owner = workspace(0);
                self.campaign_event(op)?
            }
            Op::Account { kind, user, workspace: number } => {
                owner = workspace(u64::from(*number));
                self.account_event(*kind, *user, *number)?
            }
            Op::CreateToken | Op::RevokeToken { .. } => {
                owner = workspace(0);
                self.token_event(op)?
            }
        };
        self.audited += u64::from(!matches!(event, Event::ApiCallsCounted(_)));
        Some(self.envelope(owner, key, event))
    }

    fn delete_event(&mut self, link: u16) -> Option<(WorkspaceId, Event)> {
        let (link, before) = self.some_link(link)?;
        let owner = before.0;
        self.links.remove(&link);
        let state = LinkState { version: before.1.version + 1, ..before.1 };
        // Some deletions have another deadline than the default.
        let until_ms = self.made.is_multiple_of(2).then_some(self.now_ms + 10 * DAY_MS);
        let deleted = LinkDeleted { link, restorable_until_ms: until_ms, version: None };
        let until_ms = deleted.deadline_ms(self.now_ms);
        self.deleted.insert(deleted.link.clone(), (owner, state, until_ms));
        Some((owner, Event::LinkDeleted(deleted)))
    }

    fn campaign_event(&mut self, op: &Op) -> Option<Event> {
        Some(match op {
            Op::PutCampaign { number, name } => {
                let is_there = self.campaigns.contains_key(number);
                let name = format!("Campaign {name}");
                if self.campaigns.iter().any(|(other, it)| it.name == name && other != number) {
                    return None;
                }
                let state = UtmPresetState {
                    id: campaign(*number).as_bytes().to_vec(),
                    name,
                    created_at_ms: self.now_ms,
                    ..UtmPresetState::default()
                };
                self.campaigns.insert(*number, state.clone());
                if is_there { Event::CampaignChanged(state) } else { Event::CampaignCreated(state) }
            }
            Op::DeleteCampaign { number } => {
                let id = self.campaigns.remove(number)?.id;
                Event::CampaignDeleted(UtmPresetDeleted { id })
            }
            _ => return None,
        })
    }

    fn account_event(&mut self, kind: u8, user: u8, workspace: u8) -> Option<Event> {
        let id = user_id(user).as_bytes().to_vec();
        let epoch = self.users.get(&user).copied();
        let state = UserState {
            id: id.clone(),
            email_hash: vec![user, u8::try_from(epoch.unwrap_or(0) % 3).unwrap()],
            session_epoch: epoch.map_or(0, |epoch| epoch + 1),
            ..UserState::default()
        };
        let invitation = vec![user + 1; 16];
        let member = MemberState {
            user: id.clone(),
            role: u32::from(workspace) + 2,
            joined_at_ms: self.now_ms,
            invitation: if kind == 5 { invitation.clone() } else { Vec::new() },
        };
        Some(match kind {
            0 | 1 => {
                self.users.insert(user, state.session_epoch);
                if epoch.is_some() { Event::UserChanged(state) } else { Event::UserCreated(state) }
            }
            2 => {
                self.users.remove(&user)?;
                Event::UserDeleted(UserDeleted { user: id, purged_at_ms: self.now_ms })
            }
            3 => Event::SessionStarted(SessionState {
                id: u128::from(self.made).to_be_bytes().to_vec(),
                user: id,
                expires_at_ms: self.now_ms + DAY_MS,
                totp_step: Some(self.made),
                ..SessionState::default()
            }),
            4 | 5 => {
                self.members.insert((workspace, user));
                Event::MemberAdded(member)
            }
            6 => {
                self.members.remove(&(workspace, user));
                Event::MemberRemoved(MemberRemoved { user: id })
            }
            7 => Event::InvitationSent(InvitationState {
                id: invitation,
                expires_at_ms: self.now_ms + DAY_MS,
                ..InvitationState::default()
            }),
            8 => Event::InvitationRevoked(InvitationRevoked { invitation }),
            9 => Event::WorkspaceRenamed(WorkspaceRenamed { name: format!("w{}", self.made) }),
            10 => Event::WorkspaceDeleted(WorkspaceDeleted { purged_at_ms: self.now_ms }),
            11 => Event::WorkspaceRestored(WorkspaceRestored {}),
            _ => self.billing_event(kind - 12),
        })
    }

    fn token_event(&mut self, op: &Op) -> Option<Event> {
        let made = self.made;
        Some(match op {
            Op::CreateToken => {
                let token = TokenState {
                    id: u128::from(made).to_be_bytes().to_vec(),
                    name: format!("token {made}"),
                    abilities: vec!["*".to_owned()],
                    secret_sha256: Sha256::digest(made.to_be_bytes()).to_vec(),
                    created_at_ms: self.now_ms,
                    ..TokenState::default()
                };
                self.tokens.insert(token.id.clone(), token.clone());
                Event::TokenCreated(token)
            }
            Op::RevokeToken { token } => {
                let place = usize::from(*token) % self.tokens.len().max(1);
                let token = self.tokens.keys().nth(place)?.clone();
                self.tokens.remove(&token);
                Event::TokenRevoked(TokenRevoked { token })
            }
            _ => return None,
        })
    }

    /// Restores or purges a link; returns its workspace.
    fn bring_back_or_purge(&mut self, op: &Op) -> Option<(WorkspaceId, Event)> {
        Some(match op {
            Op::Restore { link, slug } => {
                let (id, before) = nth(&self.deleted, *link)?;
                if before.2 <= self.now_ms {
                    return None;
                }
                let link = self.link(id.clone(), *slug, before.1.version + 1)?;
                let link = self.as_labelled(link, &before);
                self.deleted.remove(&id);
                self.links.insert(id, (before.0, link.clone()));
                (before.0, Event::LinkRestored(link))
            }
            Op::Purge { link, is_deleted: true } => {
                let (link, before) = nth(&self.deleted, *link)?;
                self.deleted.remove(&link);
                (before.0, Event::LinkPurged(LinkPurged { link }))
            }
            Op::Purge { link, .. } => {
                let (link, before) = self.some_link(*link)?;
                self.links.remove(&link);
                (before.0, Event::LinkPurged(LinkPurged { link }))
            }
            _ => return None,
        })
    }

    pub fn begin(&mut self) -> Envelope {
        self.now_ms = 1_760_000_000_000;
        self.audited = 1;
        let created = WorkspaceCreated { name: "w".to_owned(), owner: Vec::new() };
        self.envelope(workspace(0), None, Event::WorkspaceCreated(created))
    }

    fn envelope(&self, owner: WorkspaceId, key: Option<u8>, event: Event) -> Envelope {
        Envelope {
            at_ms: self.now_ms,
            workspace: owner.as_bytes().to_vec(),
            token: vec![9; 16],
            user: Vec::new(),
            idempotency: key.map(|key| Idempotency {
                key: format!("key-{key}"),
                request_sha256: vec![key; 32],
            }),
            idempotency_until_ms: self.made.is_multiple_of(2).then_some(self.now_ms + DAY_MS / 24),
            // Of some links; there may be too few credits.
            debit: (matches!(event, Event::LinkCreated(_)) && self.made.is_multiple_of(3))
                .then_some(Debit { kind: 1, amount: 1 }),
            reservation: match &event {
                Event::LinkCreated(_) if !self.made.is_multiple_of(4) => self.import(),
                _ => Vec::new(),
            },
            event: Some(event),
        }
    }

    fn some_link(&self, number: u16) -> Option<(Vec<u8>, (WorkspaceId, LinkState))> {
        nth(&self.links, number)
    }

    /// Adds random labels, few enough to be shared; no external ID is used twice in a workspace.
    fn labelled(&self, link: LinkState, owner: WorkspaceId, chance: Option<u32>) -> LinkState {
        let Some(chance) = chance else { return link };
        let bit = |number: u32| chance >> number & 1 == 1;
        let spelled = |tag: u32| if bit(8) { format!("Tag {tag}") } else { format!("tag {tag}") };
        let external_id = format!("ext-{}", chance >> 28);
        let is_taken = self.has_external_id(owner, &external_id, &link);
        // As a request would have it, since only the domain knows the format of a campaign.
        let mut input = LinkInput {
            slug: Field::Value("a".to_owned()),
            destination: Field::Value("https://example.com".to_owned()),
            tags: Field::Value((0..4).filter(|tag| bit(*tag)).map(spelled).collect()),
            archived: Field::Value(bit(7)),
            ..LinkInput::default()
        };
        if bit(4) {
            let folder = ["a", "a/b", "a/b/c", "ab"][(chance >> 9) as usize % 4];
            input.folder = Field::Value(folder.to_owned());
        }
        if bit(5) {
            let id = campaign(u8::try_from(chance >> 11 & 7).unwrap());
            input.campaign = Field::Value(id.to_string());
        }
        if bit(6) && !is_taken {
            input.external_id = Field::Value(external_id);
        }
        let context = LinkContext {
            policy: &LinkPolicy::default(),
            is_hosted: &|_| false,
            now_ms: 0,
            new_rule_id: || RuleId::new(uuid::Uuid::nil()),
        };
        let accepted = input.accept(WriteMode::Create, Ok(String::new()), &context).unwrap();
        let Labelled { labels, gates } = Labelled::of(accepted.fields);
        LinkState { gates, labels, ..link }
    }

    /// With its labels from before the deletion, unless its external ID is taken by now.
    fn as_labelled(&self, link: LinkState, before: &(WorkspaceId, LinkState, u64)) -> LinkState {
        let (owner, LinkState { mut labels, gates, .. }, _) = before.clone();
        if let Some(labels) = &mut labels
            && labels.external_id.as_ref().is_some_and(|id| self.has_external_id(owner, id, &link))
        {
            labels.external_id = None;
        }
        LinkState { gates, labels, ..link }
    }

    /// Whether another link of the workspace has this external ID.
    fn has_external_id(&self, owner: WorkspaceId, external_id: &str, link: &LinkState) -> bool {
        self.links.values().any(|(other, it)| {
            let labels = it.labels.as_ref();
            let has = labels.and_then(|labels| labels.external_id.as_deref()) == Some(external_id);
            *other == owner && has && it.id != link.id
        })
    }

    /// `None` if the slug is taken.
    fn link(&self, id: Vec<u8>, slug: u16, version: u32) -> Option<LinkState> {
        let slug = format!("slug-{slug}");
        let is_taken = self.links.values().any(|(_, link)| link.slug == slug && link.id != id);
        (!is_taken).then(|| LinkState {
            destination: format!("https://example.com/{slug}/{version}"),
            id,
            slug,
            version,
            created_at_ms: self.now_ms,
            updated_at_ms: self.now_ms,
            ..LinkState::default()
        })
    }
}

pub fn nth<T: Clone>(of: &BTreeMap<Vec<u8>, T>, number: u16) -> Option<(Vec<u8>, T)> {
    let place = usize::from(number) % of.len().max(1);
    of.iter().nth(place).map(|(id, thing)| (id.clone(), thing.clone()))
}

/// A history of about this many events, the same for the same seed.
pub fn of_seed(seed: u64, ops: usize) -> Vec<Envelope> {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
    let bytes = Sha256::digest(seed.to_be_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let ops = prop::collection::vec(op(), ops).new_tree(&mut runner).unwrap().current();
    let mut model = Model::default();
    let mut events = vec![model.begin()];
    events.extend(ops.iter().filter_map(|op| model.next(op)));
    events
}
