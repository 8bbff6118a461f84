//! How long to wait for a cluster, and how often to try again.

use super::config::Config;
use super::refusal::{Again, Refusal};
use crate::storage::chance;
use std::time::Duration;

/// How often a first contact is tried that breaks.
const FIRST_ATTEMPTS: u32 = 6;

/// How long to wait and how often to try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Patience {
    /// For a connection to a NameNode and its greeting.
    pub(super) connect: Duration,
    /// For an answer of the NameNode.
    pub(super) answer: Duration,
    /// For a DataNode, without a single byte.
    pub(super) data: Duration,
    pub(super) attempts: u32,
    /// Before the second attempt; doubled before each further one.
    interval: Duration,
    longest: Duration,
}

impl Patience {
    pub(super) fn of(config: &Config) -> Result<Patience, Refusal> {
        let time = |name: &str, usual: Duration| Ok::<_, Refusal>(config.time(name)?.unwrap_or(usual));
        let attempts = config.count("dfs.client.failover.max.attempts", 100)?.and_then(|n| u32::try_from(n).ok());
        Ok(Patience {
            connect: time("ipc.client.connect.timeout", Duration::from_secs(10))?,
            answer: time("ipc.client.rpc-timeout.ms", Duration::from_secs(30))?,
            data: time("dfs.client.socket-timeout", Duration::from_secs(20))?,
            attempts: attempts.unwrap_or(12),
            interval: time("dfs.client.failover.sleep.base.millis", Duration::from_millis(300))?,
            longest: time("dfs.client.failover.sleep.max.millis", Duration::from_secs(5))?,
        })
    }

    /// A step of a transfer: a DataNode that hangs costs its deadline, then the next replica's turn comes.
    pub(super) fn step(&self) -> Duration {
        self.data.saturating_mul(4)
    }

    /// All attempts together. Calls share a connection, so one that stalls holds up those beside it, and so may the next one.
    pub(super) fn whole(&self) -> Duration {
        self.answer.saturating_mul(4)
    }

    /// How often to try what failed so, and how long altogether, when there was no answer yet to anything.
    pub(super) fn at_first(&self, again: Again) -> (u32, Duration) {
        match again {
            Again::Nobody => (1, self.whole()),
            Again::Anew => (self.attempts.min(FIRST_ATTEMPTS), self.answer.saturating_mul(2)),
            _ => (self.attempts, self.whole()),
        }
    }

    /// Before the attempt after the `attempt`-th.
    pub(super) fn pause(&self, attempt: u32) -> Duration {
        chance::pause(self.interval, self.longest, attempt)
    }
}
