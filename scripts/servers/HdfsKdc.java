import java.io.File;
import java.nio.file.Files;
import java.nio.file.Path;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.security.UserGroupInformation;
import org.apache.kerby.kerberos.kerb.client.KrbClient;
import org.apache.kerby.kerberos.kerb.server.SimpleKdcServer;

/** A Kerberos realm for tests: the servers' principals and the user's, with random keys, and what makes a cluster use it. */
final class HdfsKdc {
    private static final String REALM = "STARSNAP.TEST";
    private static final String HDFS = "hdfs/localhost";
    private static final String HTTP = "HTTP/localhost";

    private final SimpleKdcServer kdc = new SimpleKdcServer();
    private final Path krb5;
    private final File servers;
    private final File users;
    private final String user;

    HdfsKdc(Path state, String user) throws Exception {
        this.user = user + "@" + REALM;
        Path work = Files.createDirectories(state.resolve("kdc"));
        int port = HdfsServer.freePort();
        kdc.setWorkDir(work.toFile());
        kdc.setKdcRealm(REALM);
        kdc.setKdcHost("localhost");
        kdc.setAllowUdp(false);
        kdc.setKdcTcpPort(port);
        kdc.init();
        kdc.start();
        krb5 = state.resolve("krb5.conf");
        Files.writeString(krb5, String.join("\n",
            "[libdefaults]",
            "default_realm = " + REALM,
            "udp_preference_limit = 1",
            "dns_lookup_kdc = false",
            "dns_lookup_realm = false",
            "dns_canonicalize_hostname = false",
            "rdns = false",
            "[realms]",
            REALM + " = {",
            "  kdc = localhost:" + port,
            "}",
            ""));
        System.setProperty("java.security.krb5.conf", krb5.toString());
        servers = state.resolve("servers.keytab").toFile();
        kdc.createAndExportPrincipals(servers, HDFS + "@" + REALM, HTTP + "@" + REALM);
        users = state.resolve("starsnap.keytab").toFile();
        keytab(this.user, users);
    }

    /** Makes the cluster refuse whoever has no ticket, and this process the cluster's superuser. */
    void secure(Configuration conf) throws Exception {
        conf.set("hadoop.security.authentication", "kerberos");
        conf.setBoolean("hadoop.security.authorization", true);
        conf.set("hadoop.rpc.protection", "authentication");
        conf.set("dfs.data.transfer.protection", "authentication");
        conf.set("dfs.http.policy", "HTTP_ONLY");
        conf.setBoolean("ignore.secure.ports.for.testing", true);
        conf.setBoolean("dfs.block.access.token.enable", true);
        for (String server : new String[] {"namenode", "datanode"}) {
            conf.set("dfs." + server + ".keytab.file", servers.getPath());
            conf.set("dfs." + server + ".kerberos.principal", HDFS + "@" + REALM);
        }
        conf.set("dfs.web.authentication.kerberos.keytab", servers.getPath());
        conf.set("dfs.web.authentication.kerberos.principal", HTTP + "@" + REALM);
        UserGroupInformation.setConfiguration(conf);
        UserGroupInformation.loginUserFromKeytab(HDFS + "@" + REALM, servers.getPath());
    }

    String properties() {
        return "hadoop.security.authentication = kerberos\n"
            + "kerberos_principal = " + user + "\n"
            + "kerberos_keytab = " + users + "\n"
            + "env.KRB5_CONFIG = " + krb5 + "\n";
    }

    /** A new principal, and a keytab with its key. */
    void keytab(String principal, File file) throws Exception {
        kdc.createPrincipal(principal);
        kdc.exportPrincipal(principal, file);
    }

    /** New keys: keytabs made before are stale. */
    void rekey(String principal) throws Exception {
        kdc.getKadmin().updateKeys(principal);
    }

    /** What `kinit` leaves: a cache with a ticket of the tests' user. */
    void ticket(File cache) throws Exception {
        KrbClient client = kdc.getKrbClient();
        client.storeTicket(client.requestTgt(user, users), cache);
    }
}
