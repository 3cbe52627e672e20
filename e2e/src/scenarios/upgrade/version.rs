//! A version of the operator: its image and its chart, and the change to it by Helm. Gives an image another name on the
//! embedded cluster's node, and takes it off again; touches no service.

use std::fmt;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::cluster::Cluster;
use crate::demo::SYSTEM;
use crate::demo::service::is_ready;
use crate::images::{Earlier, Image};
use crate::scenarios::kit::{CHANGE, name_of};
use crate::wait::{Seen, wait};
use crate::{embedded, paths};

/// The release, its Deployment and its lease.
const NAME: &str = "accord";
/// The tag that an image gets here.
const TAG: &str = "before";

pub(super) struct Version {
    /// With its tag.
    image: String,
    chart: PathBuf,
    kind: Kind,
}

enum Kind {
    Installed,
    /// The installed one's image, called otherwise.
    Renamed,
    /// Of this commit.
    Earlier(String),
}

impl Version {
    /// The one that is there, with this checkout's chart.
    pub(super) fn installed(cluster: &Cluster) -> Result<Self> {
        let deployment = cluster.get("deployment", SYSTEM, NAME)?;
        Ok(Self {
            image: image_of(&deployment["spec"]["template"]["spec"])
                .context("the operator's Deployment has no container")?
                .to_owned(),
            chart: paths::checkout().join("charts/accord"),
            kind: Kind::Installed,
        })
    }

    /// The same under another tag. Nothing is built.
    pub(super) fn under_another_tag(&self) -> Result<Self> {
        let (name, _) = self.image_and_tag()?;
        let image = format!("{name}:{TAG}");
        embedded::ctr(&["images", "tag", "--force", &self.image, &image])?;
        Ok(Self {
            image,
            chart: self.chart.clone(),
            kind: Kind::Renamed,
        })
    }

    /// What an earlier commit was, built from its sources, with its chart.
    pub(super) fn earlier(cluster: &Cluster) -> Result<Self> {
        let earlier = Earlier::choose()?;
        let loaded = cluster.load(&Image::Earlier(earlier.clone()))?;
        Ok(Self {
            image: loaded.context("the operator's image is always built")?.reference,
            chart: earlier.sources().join("charts/accord"),
            kind: Kind::Earlier(earlier.to_string()),
        })
    }

    /// True when its code is the installed one's.
    pub(super) fn is_the_same(&self) -> bool {
        !matches!(self.kind, Kind::Earlier(_))
    }

    /// `helm upgrade` to it, and waits until only its pods are there and one of them leads.
    pub(super) fn install(&self, cluster: &Cluster) -> Result<()> {
        let (_, tag) = self.image_and_tag()?;
        cluster.helm(&[
            "upgrade",
            NAME,
            &self.chart.to_string_lossy(),
            "--namespace",
            SYSTEM,
            // What the other version's chart had as its own default isn't this one's.
            "--reset-then-reuse-values",
            "--force-conflicts",
            "--set",
            &format!("image.tag={tag}"),
        ])?;
        let what = format!("all operator pods to be of {tag}, and one of them to lead");
        wait(cluster, SYSTEM, &what, CHANGE, || {
            let wanted = cluster.get("deployment", SYSTEM, NAME)?["spec"]["replicas"].as_u64();
            let pods = pods(cluster)?;
            let own = pods.iter().filter(|p| self.is_of(p) && is_ready(p)).count();
            let leader = self.leader(cluster)?;
            Ok(if own == pods.len() && Some(own as u64) == wanted {
                Seen::Done(())
            } else {
                Seen::NotYet(format!("{own} of {} pods are, {leader} leads", pods.len()))
            })
        })
    }

    /// The pod of it that leads; an error while another one does.
    pub(super) fn leader(&self, cluster: &Cluster) -> Result<String> {
        let lease = cluster.get("lease", SYSTEM, NAME)?;
        let holder = lease["spec"]["holderIdentity"].as_str().unwrap_or_default();
        // A holder's identity begins with its pod's name.
        let pods = pods(cluster)?;
        let leader = pods
            .iter()
            .find(|p| self.is_of(p) && holder.starts_with(name_of(p)));
        Ok(
            name_of(leader.with_context(|| format!("{holder:?} leads, no pod of {}", self.image))?)
                .to_owned(),
        )
    }

    /// Takes its image off the node, unless it is the installed one.
    pub(super) fn forget(&self) -> Result<()> {
        if matches!(self.kind, Kind::Installed) {
            return Ok(());
        }
        embedded::ctr(&["images", "rm", &self.image]).map(drop)
    }

    fn is_of(&self, pod: &Value) -> bool {
        image_of(&pod["spec"]) == Some(&self.image)
    }

    fn image_and_tag(&self) -> Result<(&str, &str)> {
        let split = self.image.rsplit_once(':');
        split.with_context(|| format!("the image {:?} has no tag", self.image))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Installed => f.write_str("the installed version"),
            Kind::Renamed => f.write_str("this version under another tag"),
            Kind::Earlier(commit) => f.write_str(commit),
        }
    }
}

fn pods(cluster: &Cluster) -> Result<Vec<Value>> {
    cluster.list("pods", SYSTEM, "app.kubernetes.io/component=operator")
}

fn image_of(spec: &Value) -> Option<&str> {
    spec["containers"][0]["image"].as_str()
}
