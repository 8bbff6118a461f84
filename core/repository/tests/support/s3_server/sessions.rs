//! What hands out sessions: the token service, and the metadata service of an instance.

use super::request::{Request, pairs};
use super::{EXTERNAL_ID, ROLE, Reply, Server, error};
use std::sync::atomic::Ordering;
use std::time::Duration;

impl Server {
    /// A new session: access key, secret, token, expiration.
    fn handed_out(&self) -> [String; 4] {
        let mut state = self.state();
        state.next += 1;
        let (access, secret) = (format!("ASIA{}", state.next), format!("secret-of-session-{}", state.next));
        let token = format!("token/{}+=", state.next);
        state.keys.insert(access.clone(), (secret.clone(), Some(token.clone()), false));
        let seconds = self.session_seconds.load(Ordering::Relaxed);
        let until = reqsign_core::time::Timestamp::now() + Duration::from_secs(seconds);
        [access, secret, token, until.format_rfc3339_zulu()]
    }

    pub(super) fn token_service(&self, request: &Request) -> Reply {
        let body = String::from_utf8_lossy(&request.body).into_owned();
        let form = pairs(&body);
        let is = |name: &str, value: &str| form.get(name).is_some_and(|given| given == value);
        if !is("Action", "AssumeRole") || !is("RoleArn", ROLE) || !is("ExternalId", EXTERNAL_ID) {
            return error(403, "AccessDenied", "not authorized to perform: sts:AssumeRole");
        }
        let [access, secret, token, until] = self.handed_out();
        let body = format!(
            "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>{access}</AccessKeyId><SecretAccessKey>{secret}</SecretAccessKey><SessionToken>{token}</SessionToken><Expiration>{until}</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>"
        );
        (200, vec![], body.into_bytes())
    }

    pub(super) fn metadata(&self, request: &Request) -> Reply {
        let token = request.headers.get("x-aws-ec2-metadata-token").map(String::as_str);
        match (request.method.as_str(), request.path.trim_start_matches("/latest/"), token) {
            ("PUT", "api/token", _) => (200, vec![], b"imds-token".to_vec()),
            ("GET", "meta-data/iam/security-credentials/", Some("imds-token")) => (200, vec![], b"role".to_vec()),
            ("GET", "meta-data/iam/security-credentials/role", Some("imds-token")) => {
                let [access, secret, token, until] = self.handed_out();
                let body = format!(
                    "{{\"Code\":\"Success\",\"AccessKeyId\":\"{access}\",\"SecretAccessKey\":\"{secret}\",\"Token\":\"{token}\",\"Expiration\":\"{until}\"}}"
                );
                (200, vec![], body.into_bytes())
            }
            _ => (401, vec![], vec![]),
        }
    }
}
