//! Condition types and their reasons: the vocabulary of `status.conditions`.

use std::fmt;

/// The types in `status.conditions`. Order is the order of work: the first closed one is what is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConditionType {
    /// Every declared replica runs the declared revision, agrees, and takes traffic.
    Ready,
    /// Work towards the declaration is under way (kstatus).
    Reconciling,
    /// Work can't go on without a person (kstatus).
    Stalled,
    /// The certificate authority, the key ring and the passwords are there.
    CredentialsReady,
    /// The database and the cache answer with their recorded identity.
    DataStoresReady,
    /// The ledger holds the migration of the declared revision.
    Migrated,
    /// The ledger holds every declared seed.
    Seeded,
    /// What the image's servers would use is what is declared.
    PreflightPassed,
    /// The controllers have carried out what was applied.
    WorkloadReady,
    /// Every replica has proved that it honours what the others issue.
    ReplicasAgree,
}

impl ConditionType {
    /// Every type, in the order in which they stand in status.
    pub const ALL: [Self; 10] = [
        Self::Ready,
        Self::Reconciling,
        Self::Stalled,
        Self::CredentialsReady,
        Self::DataStoresReady,
        Self::Migrated,
        Self::Seeded,
        Self::PreflightPassed,
        Self::WorkloadReady,
        Self::ReplicasAgree,
    ];

    /// The name as it stands in status.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::Reconciling => "Reconciling",
            Self::Stalled => "Stalled",
            Self::CredentialsReady => "CredentialsReady",
            Self::DataStoresReady => "DataStoresReady",
            Self::Migrated => "Migrated",
            Self::Seeded => "Seeded",
            Self::PreflightPassed => "PreflightPassed",
            Self::WorkloadReady => "WorkloadReady",
            Self::ReplicasAgree => "ReplicasAgree",
        }
    }
}

impl fmt::Display for ConditionType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident $(= $stalled:ident)?),* $(,)?) => {
        /// The reasons of conditions and events.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Reason { $($(#[$doc])* $name),* }

        impl Reason {
            /// Every reason.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The reason as it stands in a condition or event.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => stringify!($name)),* }
            }

            /// True when Accord can't go on by itself: a person has to change something.
            pub const fn needs_person(self) -> bool {
                match self { $(Self::$name => reasons!(@ $($stalled)?)),* }
            }
        }
    };
    (@ person) => { true };
    (@) => { false };
}

reasons! {
    /// All is as declared.
    AsDeclared,
    /// This phase has done its work.
    Succeeded,
    /// An earlier phase has to finish first.
    WaitingForEarlierPhase,
    /// The declaration contradicts itself; the message names the field.
    InvalidSpec = person,
    /// An object that Accord needs exists already and isn't Accord's.
    Conflict = person,
    /// The API server refuses an object that follows from the declaration; the message has its words.
    WriteRefused = person,
    /// Key ring, passwords or certificates are being made.
    CreatingCredentials,
    /// The key ring was recorded once and is gone; it is not made anew.
    KeyRingMissing = person,
    /// Passwords or the certificate authority were recorded once and are gone.
    CredentialsMissing = person,
    /// A Secret that the declaration refers to, or a key of it, isn't there.
    SecretNotFound = person,
    /// The database pod or server isn't answering yet.
    WaitingForDatabase,
    /// The cache isn't answering yet.
    WaitingForCache,
    /// The volume that held the data is gone or empty; it is not made anew.
    DataMissing = person,
    /// The database isn't the one that was recorded.
    WrongDatabase = person,
    /// The ledger can't be read; nothing new is rolled out until it can.
    LedgerUnreadable,
    /// The migration Job is at work.
    Migrating,
    /// The migration ended with an error.
    MigrationFailed = person,
    /// A seed Job is at work.
    Seeding,
    /// A seed ended with an error.
    SeedFailed = person,
    /// A seed that isn't declared idempotent was interrupted.
    SeedInterrupted = person,
    /// The canary account is being created.
    CreatingCanary,
    /// The canary account could not be created.
    CanaryFailed = person,
    /// Preflight is at work.
    CheckingFacts,
    /// Preflight's command failed or said nothing usable: nothing is known, and nothing is refused for it.
    FactsUnavailable,
    /// Preflight: the servers would use another database than the declared one.
    LocalDatabase = person,
    /// Preflight: the servers would sign with a key that isn't in the declared ring.
    KeyMismatch = person,
    /// Preflight: the servers would keep sessions to themselves.
    LocalSession = person,
    /// Preflight: the servers would refuse requests for the declared hostname.
    HostnameMismatch = person,
    /// Pods are being started or replaced.
    RollingOut,
    /// Pods of this revision don't start.
    PodsNotStarting = person,
    /// The declared revision failed; the released one serves on.
    CandidateWithdrawn = person,
    /// Replicas are proving that they agree.
    Verifying,
    /// The declared revision and the released one don't honour what the other issues, and nothing is wrong with either alone.
    Incompatible = person,
    /// What runs of the released revision isn't what was declared, so the declared one is proved without it.
    ReleasedUnanchored,
    /// The declared revision is being proved beside the released one; then all users are switched at once.
    CuttingOver,
    /// At least one replica doesn't honour what the others issue.
    ReplicasDiverge,
    /// No replica agrees, and one alone takes traffic, as declared.
    ServingOne,
    /// A replica that agreed diverges: it gets no new connections (event).
    ReplicaIsolated,
    /// An isolated replica still diverges and is evicted (event).
    ReplicaEvicted,
    /// A replica that can't be verified takes traffic unproved, as declared (event).
    ReplicaAdmitted,
    /// A login through the canonical hostname fails where a replica by its own address doesn't (event).
    EdgeFails,
    /// A login through the canonical hostname succeeds again (event).
    EdgeWorks,
    /// The certificate of the canonical hostname runs out soon (event).
    EdgeCertificateExpiring,
    /// No pod carries the labels of `spec.selector`.
    NothingToObserve,
    /// Some replicas could not be verified.
    VerificationBroken,
    /// Replicas can't be reached by the prober although kubelet says that they are ready.
    ProbeBlocked,
    /// The service is being deleted.
    Deleting,
    /// Its data is declared to be deleted with it (event).
    DeletesData,
    /// The declared number of replicas is 0.
    ScaledToZero,
    /// The annotation `accord.dev/paused` is set.
    Paused,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
