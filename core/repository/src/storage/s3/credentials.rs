//! What requests are signed with, from properties or from the surroundings, and a role on top of any of them. Kept until shortly before
//! it expires; while it has not, nobody is kept waiting for what follows it, nor turned away because that is not to be had.

use super::refusal::Refusal;
use super::sts::TokenService;
use super::surroundings::Surroundings;
use crate::location::{Asked, S3Location};
use crate::storage::chance::pause;
use reqsign_aws_v4::Credential;
use reqsign_core::SigningCredential;
use reqsign_core::time::Timestamp;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// Whoever has credentials that still work waits no longer for new ones.
const SOON: Duration = Duration::from_secs(10);
/// After new ones were not to be had, the old ones serve that long before they are asked for again.
const QUIET: Duration = Duration::from_secs(10);
/// So long before they expire, they are not sent any more: requests take time, and clocks differ.
const MARGIN: Duration = Duration::from_secs(10);

/// Credentials for signing.
pub(super) struct Credentials {
    source: Source,
    role: Option<TokenService>,
    kept: Mutex<Kept>,
    /// Held by who asks for new ones.
    asking: tokio::sync::Mutex<()>,
}

enum Source {
    Given(Credential),
    Found(Asked, Box<Surroundings>),
}

#[derive(Default)]
struct Kept {
    credential: Option<Credential>,
    /// When it came.
    since: Option<Instant>,
    /// Until then no other is asked for.
    quiet: Option<Instant>,
    /// When and how the last who asked failed.
    failed: Option<(Instant, Refusal)>,
}

impl Kept {
    /// Good for two minutes at least, where they expire.
    fn fresh(&self) -> Option<Credential> {
        self.credential.clone().filter(SigningCredential::is_valid)
    }

    fn usable(&self) -> Option<Credential> {
        self.credential.clone().filter(|credential| credential.is_valid_at(Timestamp::now() + MARGIN))
    }
}

impl Credentials {
    pub(super) fn new(location: &S3Location) -> Result<Credentials, Refusal> {
        let source = match (&location.keys, location.asked) {
            (Some(keys), Asked::Any) => Source::Given(Credential {
                access_key_id: keys.access.reveal().to_owned(),
                secret_access_key: keys.secret.reveal().to_owned(),
                session_token: keys.token.as_ref().map(|token| token.reveal().to_owned()),
                expires_in: None,
            }),
            (_, asked) => Source::Found(asked, Box::new(Surroundings::new()?)),
        };
        let role = location.role.clone().map(|role| TokenService::new(role, location.patience)).transpose()?;
        Ok(Credentials { source, role, kept: Mutex::default(), asking: tokio::sync::Mutex::default() })
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Those that are kept, or new ones. `Unavailable`: there may be some later.
    pub(super) async fn get(&self) -> Result<Credential, Refusal> {
        let begun = Instant::now();
        let usable = {
            let kept = self.kept();
            match (kept.fresh(), kept.usable()) {
                (Some(fresh), _) => return Ok(fresh),
                (None, Some(usable)) if kept.quiet.is_some_and(|until| begun < until) => return Ok(usable),
                (None, usable) => usable,
            }
        };
        let Some(old) = usable else {
            // One asks, the others wait for its answer.
            let _asking = self.asking.lock().await;
            {
                let kept = self.kept();
                if let Some(usable) = kept.usable().filter(|_| kept.since.is_some_and(|since| since >= begun)) {
                    return Ok(usable);
                }
                if let Some((_, refusal)) = kept.failed.as_ref().filter(|(at, _)| *at >= begun) {
                    return Err(refusal.clone());
                }
            }
            return self.ask().await;
        };
        let Ok(_asking) = self.asking.try_lock() else { return Ok(old) };
        if let Some(fresh) = self.kept().fresh() {
            return Ok(fresh);
        }
        let why = match timeout(SOON, self.ask()).await {
            Ok(Ok(new)) => return Ok(new),
            Ok(Err(refusal)) => refusal.reason,
            Err(_) => format!("there is no answer within {SOON:?}"),
        };
        tracing::warn!("the credentials are about to expire, and there are no new ones yet: {why}");
        self.kept().quiet = Some(Instant::now() + pause(QUIET, QUIET, 1));
        Ok(old)
    }

    /// Asks for others, as those were refused with which a request was signed that began at `begun`. False: there are none.
    pub(super) async fn renew(&self, begun: Instant) -> Result<bool, Refusal> {
        if self.role.is_none() && matches!(self.source, Source::Given(_)) {
            return Ok(false);
        }
        let _asking = self.asking.lock().await;
        // Somebody else, who was refused too, has them already.
        if self.kept().since.is_some_and(|since| since >= begun) {
            return Ok(true);
        }
        self.ask().await.map(|_| true)
    }

    /// New ones. The old are kept where there are none.
    async fn ask(&self) -> Result<Credential, Refusal> {
        let asked = self.new_ones().await;
        let mut kept = self.kept();
        match asked {
            Ok(credential) => {
                if credential.session_token.is_some() {
                    tracing::debug!("there are new session credentials");
                }
                *kept = Kept { credential: Some(credential.clone()), since: Some(Instant::now()), ..Kept::default() };
                Ok(credential)
            }
            Err(refusal) => {
                kept.failed = Some((Instant::now(), refusal.clone()));
                Err(refusal)
            }
        }
    }

    async fn new_ones(&self) -> Result<Credential, Refusal> {
        let base = match &self.source {
            Source::Given(credential) => credential.clone(),
            Source::Found(asked, surroundings) => {
                let again = self.kept().credential.is_some();
                surroundings.find(*asked, again).await?
            }
        };
        match &self.role {
            Some(role) => role.assume(&base).await,
            None => Ok(base),
        }
    }
}
