//! The binary on HDFS: NameNodes that die, change places and hang while it restores and while one copies out of a mount, and everything
//! that can be wrong with Kerberos, users and configuration, each with a message that names the cause. What HDFS shares with other
//! stores is in `remote_copies.rs`.

use crate::common::{Ran, STATE, World, require_root, same};
use crate::genuine::{self, Genuine};
use crate::hdfs_cluster::Cluster;
use crate::remote::{create, registered, sql, upload, world};
use crate::test_stores::TestStore;
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};

const LABEL: &str = "sr_hub_full";

/// The store with less patience than usual, so that what hangs is given up soon.
fn brisk(store: &TestStore) -> TestStore {
    let mut store = store.clone();
    for (name, value) in [
        ("ipc.client.connect.timeout", "2s"),
        ("ipc.client.rpc-timeout.ms", "10s"),
        ("dfs.client.socket-timeout", "3s"),
    ] {
        store.properties.push((name.to_owned(), value.to_owned()));
    }
    store
}

fn restore(world: &World, repository: &str, warehouse: &Path) -> Command {
    let mut command = world.command();
    command.args(["restore", repository, LABEL, "--warehouse"]).arg(warehouse);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// What restoring from local disk gives.
fn local(world: &World, genuine: &Genuine) -> std::path::PathBuf {
    let warehouse = world.path("local");
    Ran::of(restore(world, genuine.location().to_str().unwrap(), &warehouse)).ok();
    warehouse
}

#[test]
fn restores_and_copies_out_of_a_mount_outlive_failovers() {
    let Some(cluster) = Cluster::breakable() else { return };
    let world = world(&cluster.store);
    let genuine = genuine::one("sr35/hub");
    let expected = local(&world, &genuine);
    let (repository, _) = registered(&world, &genuine, &cluster.store);

    // Nobody is active when it begins; the other NameNode takes over while it waits.
    cluster.tell("stop-namenode 0");
    let waiting = restore(&world, &repository, &world.path("one")).spawn().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(500));
    cluster.tell("activate 1");
    Ran::wait(waiting).ok();
    same(&expected, &world.path("one"), &[STATE]);
    cluster.tell("mend");

    // A mount of yesterday's NameNode. Each table is copied after another failover, one with a DataNode dead, one over a death.
    let mount = world.mount(Path::new(&repository));
    let label = &genuine.labels()[LABEL];
    let snapshot = mount.path(LABEL).join(label.dir());
    let copied = world.dir("copied");
    for (number, table) in label.tables().iter().enumerate() {
        let mut copy = Command::new("cp");
        copy.arg("-r").arg(snapshot.join(table)).arg(&copied).stdout(Stdio::piped()).stderr(Stdio::piped());
        match number {
            1 => drop(cluster.tell("stop-datanode 1")),
            2 => {
                cluster.tell("mend");
                cluster.tell("stop-namenode 0");
                let copying = copy.spawn().unwrap();
                cluster.tell("activate 1");
                Ran::wait(copying).ok();
                cluster.tell("mend");
                continue;
            }
            _ => drop(cluster.tell("failover")),
        }
        Ran::of(copy).ok();
    }
    for table in label.tables() {
        same(&copied.join(&table), &expected.join(genuine.database()).join(&table), &crate::common::ROWS);
    }
}

#[test]
fn a_cluster_that_hangs_is_given_up_and_all_goes_on_when_it_does() {
    let Some(cluster) = Cluster::breakable() else { return };
    let store = brisk(&cluster.store);
    let world = world(&store);
    let genuine = genuine::one("sr35/hub");
    let expected = local(&world, &genuine);
    let (repository, _) = registered(&world, &genuine, &store);
    let mount = world.mount(Path::new(&repository));
    let label = &genuine.labels()[LABEL];
    let (path, content) = label.files.iter().max_by_key(|(_, content)| content.size).unwrap();
    let file = mount.path(LABEL).join(label.dir()).join(path);
    assert_eq!(file.metadata().unwrap().len(), content.size);

    cluster.tell("pause");
    let error = fs::read(&file).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(5), "{error}");
    let warehouse = world.path("restored");
    let ran = Ran::of(restore(&world, &repository, &warehouse));
    assert_ne!(ran.code, 0, "{ran:?}");
    let ran = ran.says("does not answer").says("localhost:");
    assert!(ran.stderr.lines().count() < 30, "{ran:?}");
    let seen = warehouse.join(genuine.database());
    assert!(
        !seen.exists() || fs::read_dir(&seen).unwrap().all(|entry| hidden(&entry.unwrap())),
        "half a restore is seen"
    );

    cluster.tell("resume");
    assert_eq!(crate::common::content(&file), *content);
    Ran::of(restore(&world, &repository, &warehouse)).ok();
    same(&expected, &warehouse, &[STATE]);
}

fn hidden(entry: &fs::DirEntry) -> bool {
    entry.file_name().as_encoded_bytes().starts_with(b".")
}

/// `ls` of a location with these properties and variables.
fn listing(world: &World, location: &str, properties: &[(&str, &str)], variables: &[(&str, &str)]) -> Command {
    let mut command = world.command();
    for name in ["KRB5CCNAME", "KRB5_CLIENT_KTNAME", "HADOOP_CONF_DIR", "HADOOP_HOME", "HADOOP_USER_NAME"] {
        command.env_remove(name);
    }
    // Not the tickets of whoever runs the tests.
    command.env("KRB5CCNAME", world.path("no-tickets")).envs(variables.iter().copied());
    command.args(["ls", location]);
    for (name, value) in properties {
        command.args(["--property", &format!("{name}={value}")]);
    }
    command
}

#[track_caller]
fn refused(what: &str, command: Command, words: &[&str]) {
    let ran = Ran::of(command);
    println!("{what}: {}", ran.stderr.trim());
    assert_ne!(ran.code, 0, "{what}: {ran:?}");
    assert!(ran.stderr.lines().count() <= 4, "{what}: a stack? {ran:?}");
    for word in words {
        assert!(ran.stderr.contains(word), "{what}: {word:?} is not said: {}", ran.stderr);
    }
}

#[test]
fn what_is_wrong_with_kerberos_is_said() {
    let Some(cluster) = Cluster::kerberos() else { return };
    let world = world(&cluster.store);
    let genuine = genuine::one("sr40/hub");
    let location = cluster.store.fresh();
    crate::remote::stores();
    upload(&genuine.location(), &location, &cluster.store);
    let stated = |name: &str| cluster.store.properties.iter().find(|(key, _)| key == name).unwrap().1.as_str();
    let (principal, keytab) = (stated("kerberos_principal"), stated("kerberos_keytab"));
    let realm = principal.split_once('@').unwrap().1;
    let kerberos = ("hadoop.security.authentication", "kerberos");
    let list = |more: &[(&str, &str)], variables: &[(&str, &str)]| {
        let properties: Vec<_> = std::iter::once(kerberos).chain(more.iter().copied()).collect();
        listing(&world, &location, &properties, variables)
    };
    let by_keytab = |keytab: &str| list(&[("kerberos_principal", principal), ("kerberos_keytab", keytab)], &[]);

    Ran::of(by_keytab(keytab)).ok();
    refused("no such keytab", by_keytab("/nowhere/x.keytab"), &["/nowhere/x.keytab"]);
    let rubbish = world.path("rubbish.keytab");
    fs::write(&rubbish, "not a keytab").unwrap();
    refused("no keytab at all", by_keytab(rubbish.to_str().unwrap()), &["rubbish.keytab", "keytab"]);
    refused("keytab without principal", list(&[("kerberos_keytab", keytab)], &[]), &["kerberos_principal"]);

    // The cluster offers authentication alone, and its client would take that without a word.
    let protected = |name| {
        list(&[("kerberos_principal", principal), ("kerberos_keytab", keytab), (name, "integrity,privacy")], &[])
    };
    let said = ["`hadoop.rpc.protection` asks for integrity", "offers authentication at most"];
    refused("a NameNode that protects too little", protected("hadoop.rpc.protection"), &said);
    Ran::of(protected("dfs.data.transfer.protection")).ok().says("not enforced");

    // Keytabs of others, and one of ours that is too old. Their names are new each time.
    let name = format!("s{:x}", std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos());
    let (stranger, other) = (format!("{name}@{realm}"), world.path("stranger.keytab"));
    let other = other.to_str().unwrap();
    cluster.tell(&format!("keytab {other} {stranger}"));
    refused("a stranger's keytab", by_keytab(other), &[principal, "stranger.keytab"]);
    let by_stranger = || list(&[("kerberos_principal", &stranger), ("kerberos_keytab", other)], &[]);
    Ran::of(by_stranger()).ok();
    let path = Cluster::path_of(&location);
    cluster.tell(&format!("chmod 700 {path}"));
    refused("a stranger", by_stranger(), &["denies access", &format!("user={name}")]);
    cluster.tell(&format!("chmod 755 {path}"));
    cluster.tell(&format!("rekey {stranger}"));
    refused("a stale keytab", by_stranger(), &["key"]);

    refused("no ticket", list(&[], &[]), &["no Kerberos ticket", "kinit"]);
    let cache = world.path("tickets");
    let cache = cache.to_str().unwrap();
    cluster.tell(&format!("ticket {cache}"));
    Ran::of(list(&[], &[("KRB5CCNAME", cache)])).ok();

    // A KDC that takes the connection and says nothing, and none at all.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (what, address) in [("a silent KDC", silent.local_addr().unwrap()), ("no KDC", closed)] {
        let krb5 = world.path("krb5.conf");
        let libdefaults =
            format!("[libdefaults]\ndefault_realm = {realm}\nudp_preference_limit = 1\ndns_lookup_kdc = false\n");
        fs::write(&krb5, format!("{libdefaults}[realms]\n{realm} = {{\nkdc = {address}\n}}\n")).unwrap();
        let properties =
            [("kerberos_principal", principal), ("kerberos_keytab", keytab), ("ipc.client.rpc-timeout.ms", "5s")];
        let command = list(&properties, &[("KRB5_CONFIG", krb5.to_str().unwrap())]);
        refused(what, command, &["KDC"]);
    }

    refused(
        "simple, but the NameNode is secure",
        listing(&world, &location, &[("username", "starsnap")], &[]),
        &["asks for Kerberos", "kerberos_keytab"],
    );
    let unprotected = [("username", "starsnap"), ("hadoop.rpc.protection", "privacy")];
    let said = ["hadoop.rpc.protection", "needs `hadoop.security.authentication` to be kerberos"];
    refused("privacy without Kerberos", listing(&world, &location, &unprotected, &[]), &said);
    let Some(simple) = Cluster::simple() else { return };
    let properties = [kerberos, ("kerberos_principal", principal), ("kerberos_keytab", keytab)];
    let command = listing(&world, &simple.store.location, &properties, &[]);
    refused("kerberos, but the NameNode is not secure", command, &["does not use it", "without authentication"]);
}

#[test]
fn without_the_kerberos_library_its_package_is_named() {
    let Some(cluster) = Cluster::kerberos() else { return };
    require_root("it hides a library from the program");
    let libraries = Ran::of({
        let mut command = Command::new("ldconfig");
        command.arg("-p").env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin");
        command
    });
    let library = libraries.stdout.lines().find(|line| line.contains("libgssapi_krb5.so.2")).unwrap();
    let library = library.rsplit(" => ").next().unwrap();
    let world = world(&cluster.store);
    let properties: Vec<_> = cluster.store.properties.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    let visible = listing(&world, &cluster.store.location, &properties, &[]);
    let mut hidden = world.environment(Command::new("unshare"));
    let script = format!("mount --bind /dev/null '{library}' && exec \"$@\"");
    hidden.args(["-m", "sh", "-c", &script, "sh"]).arg(visible.get_program()).args(visible.get_args());
    refused("no library", hidden, &["libgssapi-krb5-2", "krb5-libs"]);
}

#[test]
fn users_and_configuration_directories() {
    let Some(cluster) = Cluster::breakable() else { return };
    let world = world(&cluster.store);
    let location = cluster.store.fresh();
    let genuine = genuine::one("sr40/hub");
    upload(&genuine.location(), &location, &cluster.store);

    // All of it in Hadoop's files, as on a machine of the cluster.
    let conf = world.dir("conf");
    let of_hdfs = cluster.store.properties.iter().filter(|(name, _)| name.starts_with("dfs."));
    let lines =
        of_hdfs.map(|(name, value)| format!("<property><name>{name}</name><value>{value}</value></property>\n"));
    let site = format!("<configuration>\n{}</configuration>\n", lines.collect::<String>());
    fs::write(conf.join("hdfs-site.xml"), site.replace("nn1,nn2", "\n  nn1,\n  nn2\n")).unwrap();
    let conf = [("HADOOP_CONF_DIR", conf.to_str().unwrap())];
    let ran = Ran::of(listing(&world, &location, &[], &conf)).ok();
    assert!(ran.stdout.contains(LABEL), "{ran:?}");
    // With one of the two dead, in whichever order they are named.
    for dead in [0, 1] {
        cluster.tell(&format!("stop-namenode {dead}"));
        cluster.tell(&format!("activate {}", 1 - dead));
        Ran::of(listing(&world, &location, &[], &conf)).ok();
        cluster.tell("mend");
    }
    refused("nobody explains the nameservice", listing(&world, &location, &[], &[]), &["mycluster"]);

    // Another user may read here and not write, and the statement leaves no repository behind.
    let mut properties = cluster.store.properties.clone();
    properties.iter_mut().filter(|(name, _)| name == "username").for_each(|(_, value)| *value = "somebody".to_owned());
    let ran = sql(&world, &create("REPOSITORY", "mine", &cluster.store.fresh(), &properties), &[]);
    assert_ne!(ran.code, 0, "{ran:?}");
    let ran = ran.says("denies access").says("user=somebody");
    assert!(!ran.stderr.contains("\tat "), "{ran:?}");
    let shown = sql(&world, "SHOW REPOSITORIES;", &["--json"]).ok().json();
    assert_eq!(shown[0]["rows"].as_array().unwrap().len(), 0, "{shown}");
}
