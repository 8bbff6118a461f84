//! Credentials that nobody gave: of the environment, profile files, SSO, a web identity, a program, a container; then the instance's.
//!
//! They are different identities. So the first source that is configured is the only one that is asked: if it fails, the next would let
//! in, or keep out, somebody else.

use super::http::chain;
use super::process::Processes;
use super::refusal::Refusal;
use super::sender::{Files, Sender, Trouble};
use crate::error::ErrorKind;
use crate::location::Asked;
use reqsign_aws_v4::{
    AssumeRoleWithWebIdentityCredentialProvider, Credential, ECSCredentialProvider, IMDSv2CredentialProvider,
    ProcessCredentialProvider, ProfileCredentialProvider, SSOCredentialProvider,
};
use reqsign_core::{Context, OsEnv, ProvideCredential};

const WEB_IDENTITY: &str = "AWS_WEB_IDENTITY_TOKEN_FILE";
const CONTAINER: [&str; 2] = ["AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"];
/// How a profile may say where its credentials come from; of these, some only in forms that are not read here.
const SOURCES: [&str; 8] = [
    "role_arn",
    "source_profile",
    "credential_source",
    "web_identity_token_file",
    "sso_session",
    "sso_start_url",
    "sso_account_id",
    "credential_process",
];
/// What services say is repeated so far.
const MOST_SAID: usize = 600;

/// Looks for them.
pub(super) struct Surroundings {
    context: Context,
    sender: Sender,
    processes: Processes,
    instance: IMDSv2CredentialProvider,
}

type Found = Result<Option<Credential>, Refusal>;

impl Surroundings {
    pub(super) fn new() -> Result<Surroundings, Refusal> {
        let (sender, processes) = (Sender::new()?, Processes::default());
        let context = Context::new().with_file_read(Files).with_env(OsEnv).with_http_send(sender.clone());
        let context = context.with_command_execute(processes.clone());
        Ok(Surroundings { context, sender, processes, instance: IMDSv2CredentialProvider::new() })
    }

    /// Those of `asked`, or of the first source that is configured. `again`: the instance had some before.
    pub(super) async fn find(&self, asked: Asked, again: bool) -> Result<Credential, Refusal> {
        match asked {
            Asked::Instance => self.of_instance(again).await,
            Asked::WebIdentity => match self.web_identity().await? {
                Some(credential) => Ok(credential),
                None => Err(denied(
                    format!("a web identity is asked for, but {WEB_IDENTITY} is not set"),
                    "run where Kubernetes sets AWS_WEB_IDENTITY_TOKEN_FILE and AWS_ROLE_ARN, or set them",
                )),
            },
            Asked::Any => {
                if let Some(credential) = self.configured().await? {
                    return Ok(credential);
                }
                self.last_resort(again).await
            }
        }
    }

    /// Of the first source that is configured, the instance's not among them.
    async fn configured(&self) -> Found {
        if let Some(credential) = self.environment()? {
            return Ok(Some(credential));
        }
        let files = ProfileCredentialProvider::new().provide_credential(&self.context).await;
        let files =
            self.of(files, &format!("~/.aws{}", self.profile()), "check ~/.aws/credentials and ~/.aws/config")?;
        if files.is_some() {
            return Ok(files);
        }
        let sso = SSOCredentialProvider::new().provide_credential(&self.context).await;
        let sso =
            self.of(sso, &format!("the single sign-on of ~/.aws/config{}", self.profile()), "run `aws sso login`")?;
        if sso.is_some() {
            return Ok(sso);
        }
        let web = self.web_identity().await?;
        if web.is_some() {
            return Ok(web);
        }
        let process = ProcessCredentialProvider::new().provide_credential(&self.context).await;
        let process = process.map_err(|_| {
            // What it printed is not repeated: it may hold the secret.
            let why = self.processes.failure();
            let why = why.as_deref().unwrap_or("what its program prints is not what AWS' tools expect of one");
            denied(
                format!("~/.aws/config{} gives no credentials: {why}", self.profile()),
                "check its `credential_process`",
            )
        })?;
        if process.is_some() {
            return Ok(process);
        }
        self.profile_is_read().await?;
        let Some(container) = CONTAINER.into_iter().find(|name| self.set(name).is_some()) else { return Ok(None) };
        let found = ECSCredentialProvider::new().provide_credential(&self.context).await;
        self.of(
            found,
            &format!("the container, of {container},"),
            "check the role of the task or pod, or unset that variable",
        )
    }

    /// Keys of the environment.
    fn environment(&self) -> Found {
        let names = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"];
        match names.map(|name| self.set(name)) {
            [Some(access_key_id), Some(secret_access_key)] => Ok(Some(Credential {
                access_key_id,
                secret_access_key,
                session_token: self.set("AWS_SESSION_TOKEN"),
                expires_in: None,
            })),
            [None, None] => Ok(None),
            [access, _] => {
                let [set, missing] = if access.is_some() { names } else { [names[1], names[0]] };
                Err(denied(format!("{set} is set, but {missing} is not"), "set both, or none"))
            }
        }
    }

    async fn web_identity(&self) -> Found {
        if self.set(WEB_IDENTITY).is_none() {
            return Ok(None);
        }
        let Some(role) = self.set("AWS_ROLE_ARN") else {
            return Err(denied(format!("{WEB_IDENTITY} is set, but AWS_ROLE_ARN is not"), "set both, or none"));
        };
        let provider = AssumeRoleWithWebIdentityCredentialProvider::new();
        let provider = match self.set("AWS_ROLE_SESSION_NAME") {
            Some(_) => provider,
            None => provider.with_role_session_name("starsnap".to_owned()),
        };
        let found = provider.provide_credential(&self.context).await;
        let advice = "check the role's trust policy, and that AWS' token service can be reached (AWS_REGION with AWS_STS_REGIONAL_ENDPOINTS = regional names a nearer one)";
        self.of(found, &format!("the web identity of {WEB_IDENTITY} for the role {role}"), advice)
    }

    /// A profile that says where its credentials come from, in a way that is not read here, is not passed over: nor is one that was named
    /// and is not there.
    async fn profile_is_read(&self) -> Result<(), Refusal> {
        let named = self.set("AWS_PROFILE").filter(|name| name != "default");
        let profile = named.as_deref().unwrap_or("default");
        let section = named.as_ref().map_or_else(|| "default".to_owned(), |name| format!("profile {name}"));
        let mut there = false;
        for (variable, usual, section) in [
            ("AWS_CONFIG_FILE", "~/.aws/config", section.as_str()),
            ("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials", profile),
        ] {
            let path = self.set(variable).unwrap_or_else(|| usual.to_owned());
            let Some(path) = self.context.expand_home_dir(&path) else { continue };
            let Ok(text) = self.context.file_read(&path).await else { continue };
            let Some(names) = stated(&String::from_utf8_lossy(&text), section) else { continue };
            there = true;
            if let Some(source) = SOURCES.into_iter().find(|source| names.iter().any(|name| name == source)) {
                return Err(denied(
                    format!(
                        "the profile `{profile}` has its credentials by `{source}`, which is not supported here in this form"
                    ),
                    "give keys, name the role as `aws.s3.iam_role_arn`, or let `credential_process = aws configure export-credentials …` in a profile do it",
                ));
            }
        }
        match named {
            Some(name) if !there => Err(denied(
                format!("there is no profile `{name}` in ~/.aws, which AWS_PROFILE names"),
                "correct or unset it",
            )),
            _ => Ok(()),
        }
    }

    async fn of_instance(&self, again: bool) -> Result<Credential, Refusal> {
        match self.instance.provide_credential(&self.context).await {
            Ok(Some(credential)) => Ok(credential),
            Ok(None) => Err(denied(
                "the instance's profile is asked for, but AWS_EC2_METADATA_DISABLED forbids to look".to_owned(),
                "unset that variable, or give keys instead of `aws.s3.use_instance_profile`",
            )),
            Err(error) => Err(Refusal {
                kind: self.kind(again),
                ..denied(
                    format!("the instance's profile gives no credentials: {}", self.metadata(&error)),
                    "check that this is a cloud instance, and attach a role to it (AWS_EC2_METADATA_SERVICE_ENDPOINT names another metadata service), or give keys",
                )
            }),
        }
    }

    async fn last_resort(&self, again: bool) -> Result<Credential, Refusal> {
        let (why, kind) = match self.instance.provide_credential(&self.context).await {
            Ok(Some(credential)) => return Ok(credential),
            Ok(None) => ("it is switched off".to_owned(), ErrorKind::PermissionDenied),
            Err(error) => (self.metadata(&error), self.kind(again)),
        };
        let reason = format!(
            "there are no credentials: none in the properties, the environment or ~/.aws{}, and not from the instance's profile ({why})",
            self.profile()
        );
        let advice = "give `aws.s3.access_key` and `aws.s3.secret_key`, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE";
        Err(Refusal { kind, ..denied(reason, advice) })
    }

    /// How bad it is that the instance gave none. One without metadata has none; one that is busy, or gave some before, will again.
    fn kind(&self, again: bool) -> ErrorKind {
        match self.sender.trouble() {
            Some(Trouble::Busy) => ErrorKind::Unavailable,
            Some(Trouble::Unreached) if again => ErrorKind::Unavailable,
            _ => ErrorKind::PermissionDenied,
        }
    }

    /// What a source that is configured gave.
    fn of(&self, found: reqsign_core::Result<Option<Credential>>, source: &str, advice: &'static str) -> Found {
        found.map_err(|error| {
            let kind = self.sender.trouble().map_or(ErrorKind::PermissionDenied, |_| ErrorKind::Unavailable);
            let reason =
                format!("{source} gives no credentials, and no other source is asked instead: {}", whole(&error));
            Refusal { kind, ..denied(reason, advice) }
        })
    }

    /// A variable, where it says something.
    fn set(&self, name: &str) -> Option<String> {
        self.context.env_var(name).filter(|text| !text.is_empty())
    }

    fn profile(&self) -> String {
        self.set("AWS_PROFILE").map_or(String::new(), |name| format!(" (profile `{name}`)"))
    }

    /// Why the instance's metadata are of no use.
    fn metadata(&self, error: &reqsign_core::Error) -> String {
        let endpoint = self.context.env_var("AWS_EC2_METADATA_SERVICE_ENDPOINT");
        let endpoint = endpoint.as_deref().unwrap_or("http://169.254.169.254");
        format!("the metadata service {endpoint} says: {}", whole(error))
            .replace("says: failed to connect to IMDS: it answers", "answers")
            .replace("says: failed to connect to IMDS", "cannot be reached")
    }
}

fn denied(reason: String, advice: &'static str) -> Refusal {
    Refusal::new(ErrorKind::PermissionDenied, reason, advice)
}

/// All that an error says, without the repetitions.
fn whole(error: &reqsign_core::Error) -> String {
    let (text, deeper) = (error.to_string(), chain(error));
    let said = if text.contains(&deeper) { text } else { format!("{text}: {deeper}") };
    said.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MOST_SAID).collect()
}

/// The names that a section of a profile file states; none when it is not there.
fn stated(text: &str, section: &str) -> Option<Vec<String>> {
    let mut names = None;
    let mut within = false;
    for line in text.lines() {
        if let Some(header) = line.trim().strip_prefix('[') {
            let header = header.split(']').next().unwrap_or_default();
            within = header.split_whitespace().eq(section.split_whitespace());
            if within {
                names.get_or_insert_with(Vec::new);
            }
        } else if let (true, Some(names), Some((name, _))) = (within, &mut names, line.split_once('=')) {
            names.push(name.trim().to_ascii_lowercase());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_profile_states() {
        let text =
            "[default]\nregion = x\n[ profile  a ]\n# role_arn = no\nRole_Arn=arn\n sso_session = s\n[profile ab]\n";
        let names = |section: &str| stated(text, section).map(|names| names.join(" "));
        assert_eq!(names("default").as_deref(), Some("region"));
        assert_eq!(names("profile a").as_deref(), Some("# role_arn role_arn sso_session"));
        assert_eq!(names("profile ab").as_deref(), Some(""));
        assert_eq!(names("profile b"), None);
    }
}
