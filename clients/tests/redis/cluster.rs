//! A Redis cluster: what belongs to one name is on one of its nodes.

use std::thread;
use std::time::Duration;

use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use tower_partner_auth::sandbox::Sandbox;
use tower_partner_auth::store::RedisStore;

use super::scratch::Scratch;
use super::server::{RedisServer, free_port};
use super::world::{PATHS, RIGHTS, assert_ok, auth, status};

/// How often, and how long in all, the nodes are asked whether they have come together.
const PROBE: Duration = Duration::from_millis(50);
const PROBES: usize = 400;

/// Three nodes, each with a third of the slots. Where each writes who the others are, it is gone with
/// this.
struct Cluster {
    nodes: Vec<RedisServer>,
    _files: Vec<Scratch>,
}

impl Cluster {
    fn start() -> Self {
        let (mut nodes, mut files) = (Vec::<RedisServer>::new(), Vec::new());
        for slots in [["0", "5460"], ["5461", "10922"], ["10923", "16383"]] {
            let file = Scratch::new();
            let directory = file.path().parent().and_then(|path| path.to_str()).expect("UTF-8");
            let bus = free_port().to_string();
            let cluster = ["--cluster-enabled", "yes", "--cluster-port", &bus, "--dir", directory];
            let node = RedisServer::start_with(&cluster);
            node.tell(&["CLUSTER", "ADDSLOTSRANGE", slots[0], slots[1]]);
            if let Some(first) = nodes.first() {
                first.tell(&["CLUSTER", "MEET", "127.0.0.1", &node.port().to_string(), &bus]);
            }
            nodes.push(node);
            files.push(file);
        }
        for node in &nodes {
            let rights = [&["ACL", "SETUSER", "fleet"][..], &RIGHTS, &["+cluster|slots"]];
            node.tell(&rights.concat());
            until_complete(node);
        }
        Self { nodes, _files: files }
    }

    /// Connects as the documentation says, to a cluster of which one node is known.
    async fn store(&self) -> RedisStore<ClusterConnection> {
        let node = format!("redis://fleet:s3cret@127.0.0.1:{}", self.nodes[0].port());
        let client = ClusterClient::new(vec![node]).unwrap();
        RedisStore::new(client.get_async_connection().await.unwrap())
    }

    /// How many names each node holds.
    fn names(&self) -> Vec<usize> {
        self.nodes.iter().map(|node| node.names().len()).collect()
    }
}

fn until_complete(node: &RedisServer) {
    for _ in 0..PROBES {
        let info: String = node.ask(&["CLUSTER", "INFO"]);
        if info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:3") {
            return;
        }
        thread::sleep(PROBE);
    }
    panic!("the nodes do not come together");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn on_a_cluster_two_share_one_token_request_for_each_scope() {
    // Given
    let cluster = Cluster::start();
    let sandbox = Sandbox::start().await.unwrap();
    let layers = [auth(&sandbox, cluster.store().await), auth(&sandbox, cluster.store().await)];
    // When
    for path in PATHS {
        for layer in &layers {
            assert_ok(&sandbox, layer, path).await;
        }
    }
    // Then
    assert_eq!(sandbox.token_requests(), 5);
    let [first, second] = layers.map(|layer| status(&layer));
    assert_eq!((first.put, first.taken, first.failures), (5, 0, 0), "{first:?}");
    assert_eq!((second.put, second.taken, second.failures), (0, 5, 0), "{second:?}");
    let names = cluster.names();
    assert_eq!(names.iter().sum::<usize>(), 5, "{names:?}");
}
