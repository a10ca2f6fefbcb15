//! A duration in a vector.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{Deserializer, Error};

/// `"1500ms"`, `"30s"`, `"5m"`, `"2h"`, `"30d"`: a whole number and one unit.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span(pub(crate) Duration);

/// How long a token lives: a [`Span`], or `"endless"`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Life(pub(crate) Option<Duration>);

const UNITS: [(&str, u64); 5] =
    [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

impl Span {
    fn parse(text: &str) -> Option<Self> {
        let digits = text.find(|c: char| !c.is_ascii_digit())?;
        let (number, unit) = text.split_at(digits);
        let (_, milliseconds) = UNITS.iter().find(|(name, _)| *name == unit)?;
        let number: u64 = number.parse().ok()?;
        Some(Self(Duration::from_millis(number.checked_mul(*milliseconds)?)))
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| {
            D::Error::custom(format!(
                "{text:?} is no duration: write it as 1500ms, 30s, 5m, 2h or 30d"
            ))
        })
    }
}

impl<'de> Deserialize<'de> for Life {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text == "endless" {
            return Ok(Self(None));
        }
        let Some(Span(life)) = Span::parse(&text) else {
            return Err(D::Error::custom(format!(
                "{text:?} is no life: write a duration or endless"
            )));
        };
        Ok(Self(Some(life)))
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
