//! The store on a Redis, or what speaks its protocol.
//!
//! What belongs to one name is one hash: the entry, when the lease was granted under which it was put,
//! and of the last lease its holder and its end. Each method is one script, so that nothing comes
//! between looking and acting, and each touches one key, so that a cluster will do. All times are of
//! the server's clock.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use redis::aio::{ConnectionLike, ConnectionManager, ConnectionManagerConfig};
use redis::io::tcp::TcpSettings;
use redis::io::tcp::socket2::TcpKeepalive;
use redis::{
    Client, ErrorKind, FromRedisValue, IntoConnectionInfo, RedisError, Script, ScriptInvocation,
};
use tokio::runtime::Handle;

use super::shared::{Entry, Lease, SharedStore, View};

const DEFAULT_PREFIX: &str = "tower-partner-auth:";

/// The longest pause between two attempts to connect: how soon a Redis is noticed that came back.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// How long a connection is idle before it is probed. Between two fetches it is idle for an hour, and
/// firewalls forget such connections within minutes, without a word.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// The longest time that a script is given, some thousand years: what it reckons with is a float.
const LONGEST_TIME: u64 = 1 << 45;

/// What all scripts begin with that tell what there is. A time that is none counts as long ago. An
/// entry from the future is none, for want of an age: the clock was set back, or is another server's.
/// One that is far larger than a token can be is garbage, and not worth sending.
const SEEN: &str = r"
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function seen()
  local seen = redis.call('HMGET', KEYS[1], 'entry', 'since', 'lease', 'holder')
  if seen[1] and #seen[1] > 262144 then seen[1] = '' end
  local held = math.max((tonumber(seen[3]) or 0) - now, 0)
  local age = now - (tonumber(seen[2]) or 0)
  if age < -1000 then return held, false, 0, seen[4] end
  return held, seen[1], math.max(age, 0), seen[4]
end
";

/// KEYS: the name. Returns: how long the lease is held yet, the entry, its age; in milliseconds.
const LOOK: &str = r"
if redis.call('TYPE', KEYS[1]).ok ~= 'hash' then return {0, false, 0} end
local held, entry, age = seen()
return {held, entry, age}
";

/// KEYS: the name. ARGV: the holder, the lease's time. Returns: 1 if it was granted, and what `LOOK`
/// returns. What is under the name and is no hash is nobody's, and is removed. A lease that is held
/// for longer than any is granted for is none: the clock again. Asked twice, it grants the same.
const LEASE: &str = r"
local kind = redis.call('TYPE', KEYS[1]).ok
if kind ~= 'hash' and kind ~= 'none' then redis.call('DEL', KEYS[1]) end
local held, entry, age, holder = seen()
local lease = tonumber(ARGV[2])
if held > 0 and held <= lease and holder ~= ARGV[1] then return {0, held, entry, age} end
redis.call('HSET', KEYS[1], 'holder', ARGV[1], 'granted', now, 'lease', now + lease)
if redis.call('PTTL', KEYS[1]) < 2 * lease then redis.call('PEXPIRE', KEYS[1], 2 * lease) end
return {1, 0, entry, age}
";

/// KEYS: the name. ARGV: the holder, the entry, for how long to keep it. Returns: 1 if it was put.
const PUT: &str = r"
if redis.call('HGET', KEYS[1], 'holder') ~= ARGV[1] then return 0 end
local granted = redis.call('HGET', KEYS[1], 'granted')
redis.call('HSET', KEYS[1], 'entry', ARGV[2], 'since', granted, 'lease', 0)
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
";

/// KEYS: the name. ARGV: the holder. The last holder stays: what an older one puts is refused.
const RELEASE: &str = r"
if redis.call('HGET', KEYS[1], 'holder') == ARGV[1] then redis.call('HSET', KEYS[1], 'lease', 0) end
return 0
";

/// A [`SharedStore`] on a Redis (7 or newer) or a Valkey.
///
/// It needs the commands `EVALSHA`, `SCRIPT LOAD`, `TYPE`, `TIME`, `HMGET`, `HGET`, `HSET`, `PTTL`,
/// `PEXPIRE` and `DEL`, on the keys with its prefix.
///
/// ```
/// use tower_partner_auth::store::{RedisStore, StoreKeys};
/// use tower_partner_auth::{ClientCredentials, PartnerAuthLayer, Route};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = RedisStore::connect("redis://127.0.0.1:6379")?;
/// let keys = StoreKeys::from_base64("q2y2wZcz1y1j1bJWn0cLR0XJKsHnnhWlkSxv9pYdq6k=")?;
/// let auth = PartnerAuthLayer::builder(ClientCredentials::new("id", "secret"))
///     .token_url("https://accounts.example.com/oauth/token")
///     .route(Route::any("https://api.example.com/{*path}", "api"))
///     .shared_store(store, keys)
///     .build()?;
/// # let _ = auth;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct RedisStore<C = ConnectionManager> {
    connection: C,
    prefix: Arc<str>,
    scripts: Arc<Scripts>,
}

struct Scripts {
    look: Script,
    lease: Script,
    put: Script,
    release: Script,
}

impl RedisStore {
    /// The Redis at this URL. It is connected to when it is first asked, and again whenever the
    /// connection was lost: a Redis that is not there is no error here.
    ///
    /// `rediss://` needs a feature of the crate `redis`, such as `tokio-rustls-comp`; user and
    /// password may be in the URL.
    ///
    /// # Errors
    ///
    /// When the URL is none of a Redis, or of a kind that needs a feature which is off; and outside of
    /// a Tokio runtime.
    pub fn connect(url: impl IntoConnectionInfo) -> Result<Self, RedisError> {
        if Handle::try_current().is_err() {
            return Err((
                ErrorKind::InvalidClientConfig,
                "there is no Tokio runtime to connect on",
            )
                .into());
        }
        let config = ConnectionManagerConfig::new().set_max_delay(LONGEST_PAUSE);
        let keepalive = TcpKeepalive::new().with_time(KEEPALIVE);
        let tcp = TcpSettings::default().set_nodelay(true).set_keepalive(keepalive);
        let client = Client::open(url.into_connection_info()?.set_tcp_settings(tcp))?;
        Ok(Self::new(ConnectionManager::new_lazy_with_config(client, config)?))
    }
}

impl<C> RedisStore<C> {
    /// A store over a connection of your own: a cluster's, a multiplexed one, one through a sentinel.
    /// All clones of it should share one connection, and it should reconnect by itself.
    pub fn new(connection: C) -> Self {
        let scripts = Scripts {
            look: Script::new(&[SEEN, LOOK].concat()),
            lease: Script::new(&[SEEN, LEASE].concat()),
            put: Script::new(PUT),
            release: Script::new(RELEASE),
        };
        Self { connection, prefix: DEFAULT_PREFIX.into(), scripts: Arc::new(scripts) }
    }

    /// Puts this before each key, instead of `tower-partner-auth:`.
    #[must_use]
    pub fn with_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into().into();
        self
    }

    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
}

/// What a script tells: how long the lease is held yet, the entry, its age.
type Seen = (u64, Option<Vec<u8>>, u64);

fn view((held, sealed, age): Seen, granted: bool) -> View {
    let entry = sealed.map(|sealed| Entry::new(sealed.into(), Duration::from_millis(age)));
    let lease = match held {
        _ if granted => Lease::Granted,
        0 => Lease::Free,
        held => Lease::Held(Duration::from_millis(held)),
    };
    View::new(entry, lease)
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).map_or(LONGEST_TIME, |time| time.clamp(1, LONGEST_TIME))
}

impl<C: ConnectionLike + Clone> RedisStore<C> {
    /// Runs a script; once more, if the connection was lost. It may have been long ago, and is only told
    /// now: Redis may be there all the same. All scripts may be run twice.
    async fn run<T: FromRedisValue>(&self, script: &ScriptInvocation<'_>) -> Result<T, RedisError> {
        let mut connection = self.connection.clone();
        let result = match script.invoke_async(&mut connection).await {
            Err(error) if error.is_connection_dropped() => {
                script.invoke_async(&mut connection).await
            }
            result => result,
        };
        result.map_err(unrepeated)
    }
}

/// The error without what the server repeats of a command that it does not know: with the one that a
/// connection begins with comes the password.
fn unrepeated(error: RedisError) -> RedisError {
    let repeating = error.detail().and_then(|detail| detail.split_once(", with args beginning"));
    let Some((told, _)) = repeating else { return error };
    (error.kind(), "the server refused a command", told.to_owned()).into()
}

impl<C> SharedStore for RedisStore<C>
where
    C: ConnectionLike + Clone + Send + Sync + 'static,
{
    type Error = RedisError;

    async fn get(&self, name: &str) -> Result<View, RedisError> {
        let look = self.scripts.look.key(self.key(name));
        Ok(view(self.run(&look).await?, false))
    }

    async fn lease(&self, name: &str, holder: &str, time: Duration) -> Result<View, RedisError> {
        let mut lease = self.scripts.lease.key(self.key(name));
        lease.arg(holder).arg(milliseconds(time));
        let (granted, held, sealed, age): (u64, _, _, _) = self.run(&lease).await?;
        Ok(view((held, sealed, age), granted == 1))
    }

    async fn put(
        &self,
        name: &str,
        holder: &str,
        sealed: Bytes,
        keep: Duration,
    ) -> Result<bool, RedisError> {
        let mut put = self.scripts.put.key(self.key(name));
        put.arg(holder).arg(&*sealed).arg(milliseconds(keep));
        self.run(&put).await
    }

    async fn release(&self, name: &str, holder: &str) -> Result<(), RedisError> {
        let mut release = self.scripts.release.key(self.key(name));
        release.arg(holder);
        self.run(&release).await
    }
}

impl<C> fmt::Debug for RedisStore<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the connection: its URL may hold a password.
        f.debug_struct("RedisStore").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}
