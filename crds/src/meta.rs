//! Labels, annotations and other names that users and other tools see.

/// The API group.
pub const GROUP: &str = "accord.dev";
/// The served and stored version.
pub const VERSION: &str = "v1alpha1";
/// The field manager of every server-side apply and the value of `app.kubernetes.io/managed-by`.
pub const MANAGER: &str = "accord";
/// Finalizer, present only under `deletionPolicy: Delete`.
pub const FINALIZER: &str = "accord.dev/delete-data";

/// Label: the name of the `AuthService` an object belongs to.
pub const LABEL_SERVICE: &str = "accord.dev/service";
/// Label: what an object is for: `server`, `postgres`, `cache`, `migration`, `seed`, `canary`, `preflight`.
pub const LABEL_ROLE: &str = "accord.dev/role";
/// Label: the revision that a pod template or a Job was rendered from.
pub const LABEL_REVISION: &str = "accord.dev/revision";

/// Annotation on an `AuthService`: `"true"` stops every write of Accord for it, status included.
pub const ANNOTATION_PAUSED: &str = "accord.dev/paused";
/// Annotation on an `AuthService`: a new value runs failed migrations, seeds and verifications again.
pub const ANNOTATION_RETRY: &str = "accord.dev/retry";
/// Annotation on an `AuthService`: the candidate (`status.candidate.revision`) that may replace the released revision
/// although neither honours the other's sessions. It counts for that candidate only.
pub const ANNOTATION_ACCEPT_INCOMPATIBLE: &str = "accord.dev/accept-incompatible";
/// Annotation on a Job and a pod template: the value of [`ANNOTATION_RETRY`] it was made for.
pub const ANNOTATION_RETRIED: &str = "accord.dev/retried";
/// Annotation on the canary's Job: a digest of the username that it makes sure of.
pub const ANNOTATION_CANARY: &str = "accord.dev/canary";

/// The readiness gate of every server pod: true while the pod has proved that it honours what the others issue.
pub const GATE_AGREES: &str = "accord.dev/agrees";
/// Reason of an open gate: the pod can't be verified, and was let in unproved (`onUnverifiable: Admit`).
pub const GATE_UNPROVED: &str = "AdmittedUnproved";
/// Reason of a closed gate: the pod's revision was never released, and a newer one takes traffic.
pub const GATE_SUPERSEDED: &str = "Superseded";
/// Reason of an open gate: no pod agrees, and this one alone takes traffic (`whenNoneAgree: ServeOne`).
pub const GATE_ALONE: &str = "ServesAlone";
