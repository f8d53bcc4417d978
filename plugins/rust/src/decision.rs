use crate::cbor::Encoder;
use crate::error::cut;
use crate::field::Field;
use crate::schema::Map;
use crate::time::Time;
use crate::value::Value;

/// The answer of a policy: [`allow`] or [`deny`], with what it adds.
///
/// ```ignore
/// Ok(allow().scope("org", org).until(badge.expires))
/// ```
#[derive(Clone, Debug)]
pub struct Decision {
    allow: bool,
    reason: String,
    scope: Vec<(String, Value)>,
    wake_at: Option<Time>,
}

/// Lets the caller in.
pub fn allow() -> Decision {
    Decision { allow: true, reason: String::new(), scope: Vec::new(), wake_at: None }
}

/// Keeps the caller out. The reason is public: the client may show it.
pub fn deny(reason: impl Into<String>) -> Decision {
    Decision { allow: false, reason: reason.into(), ..allow() }
}

const MAX_REASON: usize = 8 << 10;

impl Decision {
    /// Adds a text, a boolean or a number that guarded functions read in a field with
    /// `#[weir(scope)]`. Setting it again replaces it.
    pub fn scope(mut self, name: &str, value: impl Into<Value>) -> Decision {
        self.scope.retain(|(n, _)| n != name);
        self.scope.push((name.to_string(), value.into()));
        self
    }

    /// Asks for the decision to be made again at that time.
    pub fn until(mut self, time: Time) -> Decision {
        self.wake_at = Some(time);
        self
    }

    /// The decision in CBOR.
    pub(crate) fn encode(mut self) -> Vec<u8> {
        let mut m = Map::new();
        m.put("allow", self.allow.into());
        m.words("reason", cut(&self.reason, MAX_REASON));
        if !self.scope.is_empty() {
            m.put("scope", Value::Map(std::mem::take(&mut self.scope)));
        }
        m.some("wake_at", self.wake_at.map(|t| t.micros.into()));
        let mut e = Encoder::new();
        m.value().write(&mut e);
        e.into_bytes()
    }
}
