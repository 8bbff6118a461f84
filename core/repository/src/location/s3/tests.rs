//! Of the properties of an object store.
#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;

fn parse(rest: &str, given: &[(&str, &str)]) -> Result<S3Location> {
    let given: Vec<_> = given.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    S3Location::parse("s3a", rest, &Properties::read(&given)?)
}

#[test]
fn endpoints_regions_and_styles() {
    let cases = [
        ("s3.eu-central-1.amazonaws.com", "https://s3.eu-central-1.amazonaws.com", "eu-central-1", false),
        ("https://s3-eu-west-1.amazonaws.com/", "https://s3-eu-west-1.amazonaws.com", "eu-west-1", false),
        ("s3.cn-north-1.amazonaws.com.cn", "https://s3.cn-north-1.amazonaws.com.cn", "cn-north-1", false),
        ("s3.dualstack.us-west-2.amazonaws.com", "https://s3.dualstack.us-west-2.amazonaws.com", "us-west-2", false),
        ("bucket.s3.us-west-2.amazonaws.com", "https://s3.us-west-2.amazonaws.com", "us-west-2", false),
        ("storage.googleapis.com", "https://storage.googleapis.com", "us-east-1", true),
        ("http://minio:9000", "http://minio:9000", "us-east-1", true),
        ("minio:9000", "https://minio:9000", "us-east-1", true),
    ];
    for (given, endpoint, region, path_style) in cases {
        let location = parse("bucket/a/b/", &[("aws.s3.endpoint", given)]).unwrap();
        assert_eq!((location.endpoint.as_str(), location.path_style), (endpoint, path_style), "{given}");
        // Elsewhere the environment may state a region.
        if given.contains("amazonaws") {
            assert_eq!(location.region, region, "{given}");
        }
        assert_eq!((location.bucket.as_str(), location.root.as_str()), ("bucket", "a/b"));
        assert_eq!(location.url(), "s3a://bucket/a/b");
    }
    let plain =
        parse("b", &[("aws.s3.endpoint", "h:1"), ("aws.s3.enable_ssl", "false"), ("aws.s3.region", "x-1")]).unwrap();
    assert_eq!((plain.endpoint.as_str(), plain.region.as_str()), ("http://h:1", "x-1"));
    let aws = parse("b", &[("aws.s3.endpoint", "s3.amazonaws.com"), ("aws.s3.region", "eu-west-3")]).unwrap();
    assert_eq!(aws.endpoint, "https://s3.eu-west-3.amazonaws.com");
    let dotted = parse("a.b", &[("aws.s3.endpoint", "s3.eu-west-3.amazonaws.com")]).unwrap();
    assert!(dotted.path_style);
    let forced = parse("b", &[("aws.s3.endpoint", "h"), ("aws.s3.enable_path_style_access", "false")]).unwrap();
    assert!(!forced.path_style);
    for address in ["http://127.0.0.1:9000", "[::1]:9000"] {
        let given = [("aws.s3.endpoint", address), ("aws.s3.enable_path_style_access", "false")];
        assert!(parse("b", &given).unwrap().path_style, "{address}");
    }
}

#[test]
fn stores_that_are_kin_have_the_bucket_in_the_host_and_keys_of_their_own() {
    let keys = |id, secret| [(id, "k"), (secret, "hidden")];
    let oss = keys("fs.oss.accessKeyId", "fs.oss.accessKeySecret");
    let cosn = keys("fs.cosn.userinfo.secretId", "fs.cosn.userinfo.secretKey");
    let obs = keys("fs.obs.access.key", "fs.obs.secret.key");
    let cases = [
        ("oss", oss, ("fs.oss.endpoint", "oss-cn-zhangjiakou-internal.aliyuncs.com"), "oss-cn-zhangjiakou"),
        ("cosn", cosn, ("fs.cosn.bucket.endpoint_suffix", "cos.ap-beijing.myqcloud.com"), "ap-beijing"),
        ("obs", obs, ("fs.obs.endpoint", "obs.cn-north-4.myhuaweicloud.com"), "cn-north-4"),
    ];
    let parse = |scheme: &str, given: &[(&str, &str)]| {
        let given: Vec<_> = given.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        S3Location::parse(scheme, "bucket/backup", &Properties::read(&given)?)
    };
    for (scheme, keys, endpoint, region) in cases {
        let location = parse(scheme, &[keys[0], keys[1], endpoint]).unwrap();
        assert_eq!((location.region.as_str(), location.path_style), (region, false), "{scheme}");
        assert_eq!(location.endpoint, format!("https://{}", endpoint.1));
        assert_eq!(location.url(), format!("{scheme}://bucket/backup"));
        assert!(location.keys.is_some());
        for missing in [vec![keys[0], keys[1]], vec![endpoint]] {
            if scheme == "cosn" && missing.len() == 2 {
                let of_region = parse(scheme, &[missing[0], missing[1], ("fs.cosn.bucket.region", "ap-x")]).unwrap();
                assert_eq!(of_region.endpoint, "https://cos.ap-x.myqcloud.com");
            }
            let error = parse(scheme, &missing).unwrap_err().to_string();
            assert!(error.contains("missing") && error.contains(&format!("fs.{scheme}.")), "{error}");
            assert!(!error.contains("hidden"), "{error}");
        }
    }
    let local = parse("oss", &[oss[0], oss[1], ("fs.oss.endpoint", "http://127.0.0.1:9")]).unwrap();
    assert!(local.path_style);
}

#[test]
fn what_cannot_be_meant_is_refused_without_secrets() {
    for rest in ["", "/x", "key:hidden@bucket/x", "a b/x", "..", "b/a/../c", "b/a//c"] {
        let error = parse(rest, &[]).unwrap_err();
        assert!(error.kind == ErrorKind::Invalid && !error.to_string().contains("hidden"), "{error}");
    }
    let bad: &[&[(&str, &str)]] = &[
        &[("aws.s3.endpoint", "ftp://h")],
        &[("aws.s3.endpoint", "h/path")],
        &[("aws.s3.endpoint", "https://u:hidden@h")],
        &[("aws.s3.access_key", "a")],
        &[("aws.s3.secret_key", "hidden")],
        &[("aws.s3.external_id", "hidden")],
        &[("aws.s3.iam_role_arn", "role")],
        &[("aws.s3.region", "eu west")],
        &[("fs.s3a.attempts.maximum", "0")],
    ];
    for given in bad {
        let error = parse("b", given).unwrap_err();
        assert!(error.kind == ErrorKind::Invalid && !error.to_string().contains("hidden"), "{given:?} {error}");
    }
}

#[test]
fn roles_and_keys() {
    let arn = "arn:aws:iam::1:role/r";
    let on_aws =
        parse("b", &[("aws.s3.iam_role_arn", arn), ("aws.s3.endpoint", "s3.eu-west-3.amazonaws.com")]).unwrap();
    assert_eq!(on_aws.role.unwrap().sts_endpoint, "https://sts.eu-west-3.amazonaws.com");
    let own = [("aws.s3.iam_role_arn", arn), ("aws.s3.endpoint", "http://h:1"), ("aws.s3.external_id", "hidden")];
    let own = parse("b", &own).unwrap();
    assert!(!format!("{own:?}").contains("hidden"));
    assert_eq!(own.role.unwrap().sts_endpoint, "http://h:1");
}

#[test]
fn a_token_service_has_a_region_of_its_own() {
    let service = |given: &[(&str, &str)]| {
        let arn = ("aws.s3.iam_role_arn", "arn:aws:iam::1:role/r");
        let store = ("aws.s3.endpoint", "s3.eu-west-3.amazonaws.com");
        let role = parse("b", &[&[arn, store], given].concat()).unwrap().role.unwrap();
        (role.sts_endpoint, role.sts_region)
    };
    let of = |endpoint: &str, region: &str| (format!("https://{endpoint}"), region.to_owned());
    assert_eq!(service(&[]), of("sts.eu-west-3.amazonaws.com", "eu-west-3"));
    let region = ("aws.s3.sts.region", "us-west-2");
    assert_eq!(service(&[region]), of("sts.us-west-2.amazonaws.com", "us-west-2"));
    for (endpoint, derived) in [
        ("sts.amazonaws.com", "us-east-1"),
        ("sts.eu-north-1.amazonaws.com", "eu-north-1"),
        ("sts.cn-north-1.amazonaws.com.cn", "cn-north-1"),
        ("vpce-1-2.sts.eu-west-1.vpce.amazonaws.com", "eu-west-1"),
        ("tokens.example", "eu-west-3"),
    ] {
        let stated = ("aws.s3.sts.endpoint", endpoint);
        assert_eq!(service(&[stated]), of(endpoint, derived));
        assert_eq!(service(&[stated, region]), of(endpoint, "us-west-2"));
    }
    let hadoop = ("fs.s3a.assumed.role.sts.endpoint.region", "us-west-2");
    assert_eq!(service(&[("fs.s3a.assumed.role.sts.endpoint", "h"), hadoop]), of("h", "us-west-2"));
}

#[test]
fn whose_credentials_are_asked_for() {
    let keys = [("aws.s3.access_key", "a"), ("aws.s3.secret_key", "b")];
    let read = |name: &str, value: &str| {
        let location = parse("b", &[keys[0], keys[1], (name, value)]).unwrap();
        (location.asked, location.keys.is_some())
    };
    let any = "aws.s3.use_aws_sdk_default_behavior";
    let web = "aws.s3.use_web_identity_token_file";
    let instance = "aws.s3.use_instance_profile";
    for name in [any, web, instance] {
        assert_eq!(read(name, "false"), (Asked::Any, true), "{name}");
        let error = parse("b", &[(name, "perhaps")]).unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
    }
    assert_eq!(read(any, "true"), (Asked::Any, false));
    let providers = "fs.s3a.aws.credentials.provider";
    assert_eq!(
        read(providers, "a.SimpleAWSCredentialsProvider,\n  a.TemporaryAWSCredentialsProvider"),
        (Asked::Any, true)
    );
    assert_eq!(read(providers, "a.IAMInstanceCredentialsProvider").0, Asked::Instance);
    assert_eq!(read(providers, "a.DefaultAWSCredentialsProviderChain"), (Asked::Any, false));
    for lacking in ["a.SimpleAWSCredentialsProvider", "a.AssumedRoleCredentialProvider"] {
        assert_eq!(parse("b", &[(providers, lacking)]).unwrap_err().kind, ErrorKind::Invalid, "{lacking}");
    }
    assert_eq!(read(web, "true").0, Asked::WebIdentity);
    assert_eq!(read(instance, "TRUE").0, Asked::Instance);
}

#[test]
fn what_tunes_hadoop_is_named() {
    let given = [("fs.s3a.threads.max", "9"), ("fs.s3a.impl", "x"), ("fs.s3a.buffer.dir", ""), ("aws.s3.region", "x")];
    assert_eq!(parse("b", &given).unwrap().passed_over, ["fs.s3a.threads.max", "fs.s3a.impl"]);
    let error = parse("b", &[("fs.s3a.proxy.password", "hidden")]).unwrap_err();
    assert!(error.kind == ErrorKind::Unsupported && !error.to_string().contains("hidden"), "{error}");
}
