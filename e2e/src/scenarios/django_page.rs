//! What a reader of `operator/docs/django.md` has at its end: a fresh project with a login form, its image, and the page's
//! own declaration. Three replicas that agree, and a browser's way through the form.

use anyhow::{Context, Result, bail, ensure};

use super::kit::{self, COME_UP, seconds};
use crate::cluster::Cluster;
use crate::http::{PodHttp, Request};
use crate::images::Image;
use crate::paths;

const HOST: &str = "mysite.example.com";
const PORT: u16 = 8000;
const USER: &str = "reader";

pub(super) fn run(cluster: &Cluster) -> Result<()> {
    kit::with(cluster, "scenario-django-page", "mysite", |kit| {
        let image = kit.load(&Image::Page)?;
        let page = paths::read(&paths::checkout().join("operator/docs/django.md"))?;
        let yaml = kit::replaced(&declaration(&page)?, "registry.example/mysite:1.0.0", &image)?;
        let begun = std::time::Instant::now();
        kit.declare(&yaml)?;
        kit.ready(COME_UP)?;
        let ready = begun.elapsed();

        // The page's last step, without a terminal. The password is made where it is used.
        let password = format!(
            "Reader-{}",
            kit.service.object()?["metadata"]["uid"]
                .as_str()
                .unwrap_or_default()
        );
        let exec = [
            "exec",
            "-i",
            "deploy/mysite",
            "-c",
            "server",
            "--",
            "python",
            "manage.py",
            "shell",
            "-c",
            CREATE,
        ];
        kit.cluster
            .kubectl_cmd()
            .args(["-n", kit.namespace])
            .args(exec)
            .stdin(format!("{USER}\n{password}\n"))
            .run()?;

        let ways = kit.service.ways(PORT)?;
        ensure!(ways.len() == 3, "{} of 3 replicas are ready", ways.len());
        let mut asked = 0;
        for (turn, here) in ways.iter().enumerate() {
            let session = log_in(here, &password)?;
            for there in &ways {
                ensure!(
                    is_known(there, &session)?,
                    "{} doesn't know the session of {}",
                    there.pod(),
                    here.pod()
                );
                asked += 1;
            }
            let next = &ways[(turn + 1) % ways.len()];
            log_out(next, &session)?;
            for there in &ways {
                ensure!(
                    !is_known(there, &session)?,
                    "{} knows a session that {} ended",
                    there.pod(),
                    next.pod()
                );
                asked += 1;
            }
        }
        Ok(format!(
            "ready in {}; {asked} of {asked} answers of 3 replicas as they should be",
            seconds(ready)
        ))
    })
}

const CREATE: &str = "import sys; from django.contrib.auth.models import User; \
                      name, password = sys.stdin.read().split(); User.objects.create_user(name, password=password)";

/// The page's YAML.
fn declaration(page: &str) -> Result<String> {
    let (_, rest) = page
        .split_once("```yaml title=\"authservice.yaml\"\n")
        .context("django.md has no block authservice.yaml")?;
    let (yaml, _) = rest
        .split_once("```")
        .context("the block authservice.yaml isn't closed")?;
    Ok(yaml.to_owned())
}

/// Fetches the form and posts it; returns the cookies that a browser then has.
fn log_in(at: &PodHttp, password: &str) -> Result<String> {
    let form = at.send(&Request::get("/accounts/login/").host(HOST))?;
    let token = form.cookie("csrftoken").context("the form sets no CSRF cookie")?;
    let fields = [
        ("username", USER),
        ("password", password),
        ("csrfmiddlewaretoken", token.as_str()),
    ];
    let request = Request::form("/accounts/login/", &fields)
        .host(HOST)
        .cookie("csrftoken", &token);
    let answer = at.send(&request)?;
    match (
        answer.status,
        answer.cookie("sessionid"),
        answer.cookie("csrftoken"),
    ) {
        (302, Some(session), token_now) => Ok(format!("{session}; csrftoken={}", token_now.unwrap_or(token))),
        (status, ..) => bail!("{} answered the form with {status}", at.pod()),
    }
}

fn is_known(at: &PodHttp, session: &str) -> Result<bool> {
    match at
        .send(&Request::get("/").host(HOST).cookie("sessionid", session))?
        .status
    {
        200 => Ok(true),
        302 => Ok(false),
        status => bail!("{} answered the page with {status}", at.pod()),
    }
}

fn log_out(at: &PodHttp, session: &str) -> Result<()> {
    let (_, token) = session
        .split_once("csrftoken=")
        .context("the login kept a CSRF token")?;
    let request = Request::form("/accounts/logout/", &[("csrfmiddlewaretoken", token)])
        .host(HOST)
        .cookie("sessionid", session);
    let status = at.send(&request)?.status;
    ensure!(status == 302, "{} answered the logout with {status}", at.pod());
    Ok(())
}
