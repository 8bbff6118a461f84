import java.io.BufferedReader;
import java.io.EOFException;
import java.io.File;
import java.io.IOException;
import java.io.InputStreamReader;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.List;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.FileStatus;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.fs.permission.FsPermission;
import org.apache.hadoop.hdfs.DistributedFileSystem;
import org.apache.hadoop.hdfs.MiniDFSCluster;
import org.apache.hadoop.hdfs.MiniDFSCluster.DataNodeProperties;
import org.apache.hadoop.hdfs.MiniDFSNNTopology;
import org.apache.hadoop.hdfs.protocol.DatanodeInfo;
import org.apache.hadoop.hdfs.protocol.HdfsConstants;
import org.apache.hadoop.hdfs.protocol.LocatedBlock;
import org.apache.hadoop.hdfs.server.datanode.DataNode;
import org.apache.hadoop.util.ExitUtil;

/**
 * An HDFS cluster for tests in one JVM, which breaks on command: `HdfsServer simple|ha|breakable|kerberos STATE`.
 *
 * Once writing works it writes STATE/properties (the lines of a store file) and STATE/control (a port of 127.0.0.1). There, each
 * connection sends one line with a command and gets one line back, `ok …` or `error …`. The JVM ends when STATE/control goes.
 */
public final class HdfsServer {
    private static final String NAMESERVICE = "mycluster";
    private static final String USER = "starsnap";

    private final Path state;
    private final boolean ha;
    private final HdfsKdc kdc;
    private final MiniDFSCluster cluster;
    /** By number, as commands name them: where a DataNode is, and, while it is stopped, what it takes to start it. */
    private final List<String> dataNodes = new ArrayList<>();
    private final List<DataNodeProperties> stopped = new ArrayList<>();

    public static void main(String[] arguments) throws Exception {
        Path state = Path.of(arguments[1]).toAbsolutePath();
        ExitUtil.disableSystemExit();
        new HdfsServer(arguments[0], state).serve();
    }

    private HdfsServer(String kind, Path state) throws Exception {
        this.state = state;
        ha = kind.equals("ha") || kind.equals("breakable");
        File base = state.resolve("dfs").toFile();
        System.setProperty("test.build.data", base.getPath());
        Configuration conf = new Configuration();
        conf.setBoolean("dfs.namenode.datanode.registration.ip-hostname-check", false);
        // Small blocks: a file of a few MiB has several.
        conf.setLong("dfs.blocksize", 4 << 20);
        conf.setInt("dfs.replication", ha ? 2 : 1);
        conf.setInt("dfs.heartbeat.interval", 1);
        conf.setInt("dfs.ha.tail-edits.period", 1);
        conf.setInt("dfs.namenode.handler.count", 4);
        conf.setInt("ipc.server.listen.queue.size", 128);
        kdc = kind.equals("kerberos") ? new HdfsKdc(state, USER) : null;
        if (kdc != null) {
            kdc.secure(conf);
        }
        MiniDFSCluster.Builder builder = new MiniDFSCluster.Builder(conf, base).numDataNodes(ha ? 3 : 1).checkExitOnShutdown(false);
        if (kind.equals("breakable")) {
            // They listen on 127.0.0.1. Who asks for their names (dfs.client.use.datanode.hostname) comes to where a test may stand between.
            builder.hosts(new String[] {"127.0.0.2", "127.0.0.2", "127.0.0.2"});
        }
        if (ha) {
            MiniDFSNNTopology.NSConf service = new MiniDFSNNTopology.NSConf(NAMESERVICE);
            service.addNN(new MiniDFSNNTopology.NNConf("nn1").setIpcPort(freePort()));
            service.addNN(new MiniDFSNNTopology.NNConf("nn2").setIpcPort(freePort()));
            builder.nnTopology(new MiniDFSNNTopology().addNameservice(service));
        }
        cluster = builder.build();
        if (ha) {
            cluster.transitionToActive(0);
        }
        cluster.waitActive();
        for (DataNode node : cluster.getDataNodes()) {
            dataNodes.add(node.getDatanodeId().getXferAddr());
            stopped.add(null);
        }
        prepare();
    }

    /** A directory that the user of the tests owns, below one that only its superuser may write. */
    private void prepare() throws Exception {
        FileSystem files = files();
        var place = new org.apache.hadoop.fs.Path("/" + USER);
        files.mkdirs(place);
        files.setOwner(place, USER, USER);
        var probe = new org.apache.hadoop.fs.Path("/probe");
        try (var out = files.create(probe)) {
            out.write(1);
        }
        files.delete(probe, false);
    }

    private String properties() throws IOException {
        String nameNode = "localhost:" + cluster.getNameNodePort(0);
        StringBuilder lines = new StringBuilder("location = hdfs://" + (ha ? NAMESERVICE : nameNode) + "/" + USER + "\n");
        if (ha) {
            lines.append("dfs.nameservices = " + NAMESERVICE + "\n");
            lines.append("dfs.ha.namenodes." + NAMESERVICE + " = nn1,nn2\n");
            for (int number : new int[] {0, 1}) {
                String key = "dfs.namenode.rpc-address." + NAMESERVICE + ".nn" + (number + 1);
                lines.append(key + " = localhost:" + cluster.getNameNodePort(number) + "\n");
            }
            String provider = "org.apache.hadoop.hdfs.server.namenode.ha.ConfiguredFailoverProxyProvider";
            lines.append("dfs.client.failover.proxy.provider." + NAMESERVICE + " = " + provider + "\n");
        }
        return lines.append(kdc == null ? "username = " + USER + "\n" : kdc.properties()).toString();
    }

    private void serve() throws Exception {
        ServerSocket control = new ServerSocket(0, 16, InetAddress.getLoopbackAddress());
        Path port = state.resolve("control");
        publish(port, control.getLocalPort() + "\n");
        publish(state.resolve("properties"), properties());
        Thread answering = new Thread(() -> answer(control), "control");
        answering.setDaemon(true);
        answering.start();
        while (Files.exists(port)) {
            Thread.sleep(1000);
        }
        Runtime.getRuntime().halt(0);
    }

    private void answer(ServerSocket control) {
        while (true) {
            try (Socket socket = control.accept()) {
                var reader = new BufferedReader(new InputStreamReader(socket.getInputStream(), StandardCharsets.UTF_8));
                String line = reader.readLine();
                String answer;
                try {
                    String said = obey(line.strip().split("\\s+"));
                    answer = said.isEmpty() ? "ok" : "ok " + said;
                } catch (Throwable error) {
                    error.printStackTrace();
                    answer = "error " + String.valueOf(error).lines().findFirst().orElse("");
                }
                socket.getOutputStream().write((answer + "\n").getBytes(StandardCharsets.UTF_8));
            } catch (Exception error) {
                error.printStackTrace();
            }
        }
    }

    private String obey(String[] words) throws Exception {
        switch (words[0]) {
            case "failover" -> failover();
            case "activate" -> cluster.transitionToActive(Integer.parseInt(words[1]));
            case "standby" -> cluster.transitionToStandby(Integer.parseInt(words[1]));
            case "active" -> {
                return String.valueOf(active());
            }
            case "stop-namenode" -> cluster.shutdownNameNode(Integer.parseInt(words[1]));
            case "start-namenode" -> cluster.restartNameNode(Integer.parseInt(words[1]), false);
            case "stop-datanode" -> stopDataNode(Integer.parseInt(words[1]));
            case "start-datanode" -> startDataNode(Integer.parseInt(words[1]));
            case "mend" -> mend();
            case "datanodes" -> {
                return String.join(" ", dataNodes);
            }
            case "holders" -> {
                return holders(words[1]);
            }
            case "corrupt" -> {
                return corrupt(words[1], words.length > 2 && words[2].equals("all"));
            }
            case "chmod" -> files().setPermission(path(words[2]), new FsPermission(words[1]));
            case "chown" -> files().setOwner(path(words[2]), words[1], words[1]);
            case "mkdir" -> files().mkdirs(path(words[1]));
            case "space-quota" ->
                files().setQuota(path(words[2]), HdfsConstants.QUOTA_DONT_SET, Long.parseLong(words[1]));
            case "safemode" -> files().setSafeMode(org.apache.hadoop.fs.SafeModeAction.valueOf(words[1].toUpperCase()));
            case "find" -> {
                return find(path(words[1]));
            }
            case "ticket" -> kdc.ticket(new File(words[1]));
            case "keytab" -> kdc.keytab(words[2], new File(words[1]));
            case "rekey" -> kdc.rekey(words[1]);
            default -> throw new IllegalArgumentException("unknown command " + words[0]);
        }
        return "";
    }

    private int active() throws IOException {
        for (int number = 0; number < cluster.getNumNameNodes(); number++) {
            var nameNode = cluster.getNameNode(number);
            if (nameNode != null && nameNode.isActiveState()) {
                return number;
            }
        }
        throw new IOException("no NameNode is active");
    }

    private void failover() throws Exception {
        int active = active();
        cluster.transitionToStandby(active);
        cluster.transitionToActive(1 - active);
    }

    private void stopDataNode(int number) throws IOException {
        if (stopped.get(number) != null) {
            throw new IOException("it is stopped already");
        }
        stopped.set(number, cluster.stopDataNode(dataNodes.get(number)));
    }

    private void startDataNode(int number) throws IOException {
        DataNodeProperties properties = stopped.get(number);
        if (properties == null || !cluster.restartDataNode(properties, true)) {
            throw new IOException("it does not start");
        }
        stopped.set(number, null);
        cluster.waitActive(ha ? active() : 0);
    }

    private void mend() throws Exception {
        for (int number = 0; number < cluster.getNumNameNodes(); number++) {
            if (cluster.getNameNode(number) == null || !cluster.isNameNodeUp(number)) {
                cluster.restartNameNode(number, false);
            }
        }
        if (ha) {
            cluster.transitionToStandby(1);
            cluster.transitionToActive(0);
        }
        files().setSafeMode(org.apache.hadoop.fs.SafeModeAction.LEAVE);
        for (int number = 0; number < stopped.size(); number++) {
            if (stopped.get(number) != null) {
                startDataNode(number);
            }
        }
        // A NameNode that was made to leave safe mode knows of no block until it is told.
        cluster.waitActive(0);
        cluster.triggerBlockReports();
    }

    private DistributedFileSystem files() throws Exception {
        DistributedFileSystem files = cluster.getFileSystem(ha ? active() : 0);
        try {
            files.getStatus();
        } catch (EOFException stale) {
            // The connection is one to a NameNode that was stopped since; the next call makes a new one.
        }
        return files;
    }

    private static org.apache.hadoop.fs.Path path(String text) {
        return new org.apache.hadoop.fs.Path(text);
    }

    private List<LocatedBlock> blocks(String file) throws Exception {
        return files().getClient().getLocatedBlocks(file, 0).getLocatedBlocks();
    }

    /** The numbers of the DataNodes that have the file's first block. */
    private String holders(String file) throws Exception {
        StringBuilder numbers = new StringBuilder();
        for (DatanodeInfo node : blocks(file).get(0).getLocations()) {
            numbers.append(numbers.length() == 0 ? "" : " ").append(dataNodes.indexOf(node.getXferAddr()));
        }
        return numbers.toString();
    }

    /** Spoils the first replica of each of the file's blocks, or all replicas; how many it were. */
    private String corrupt(String file, boolean all) throws Exception {
        // A file whose second copies are still on their way would lose all it has.
        long until = System.nanoTime() + 60_000_000_000L;
        while (!blocks(file).stream().allMatch(block -> block.getLocations().length >= 2)) {
            if (System.nanoTime() > until) {
                throw new IOException("some of its blocks have one copy only");
            }
            Thread.sleep(100);
        }
        int count = 0;
        for (LocatedBlock block : blocks(file)) {
            for (DatanodeInfo holder : block.getLocations()) {
                DataNode node = cluster.getDataNodes().stream()
                    .filter(running -> running.getDatanodeId().getXferAddr().equals(holder.getXferAddr()))
                    .findFirst().orElseThrow();
                cluster.corruptReplica(node, block.getBlock());
                count++;
                if (!all) {
                    break;
                }
            }
        }
        return String.valueOf(count);
    }

    /** Everything below a directory, as `LENGTH:PATH`, or `d:PATH`. */
    private String find(org.apache.hadoop.fs.Path directory) throws Exception {
        StringBuilder found = new StringBuilder();
        for (FileStatus status : files().listStatus(directory)) {
            String kind = status.isDirectory() ? "d" : String.valueOf(status.getLen());
            found.append(found.length() == 0 ? "" : " ").append(kind + ":" + status.getPath().toUri().getPath());
            if (status.isDirectory()) {
                String below = find(status.getPath());
                found.append(below.isEmpty() ? "" : " " + below);
            }
        }
        return found.toString();
    }

    static int freePort() throws IOException {
        try (ServerSocket socket = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            return socket.getLocalPort();
        }
    }

    private static void publish(Path path, String text) throws IOException {
        Path draft = path.resolveSibling(path.getFileName() + ".new");
        Files.writeString(draft, text);
        Files.move(draft, path, StandardCopyOption.ATOMIC_MOVE);
    }
}
