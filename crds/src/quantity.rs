//! Kubernetes quantities compared by value: `cpu: "0.0100"` reads back as `10m`.

use std::fmt;

/// A quantity by value, in billionths of its unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Quantity(i128);

/// The text isn't a Kubernetes quantity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuantityError(String);

impl fmt::Display for QuantityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is not a quantity: use a number with a suffix such as Gi, Mi or m",
            self.0
        )
    }
}

impl std::error::Error for QuantityError {}

const NANO: i128 = 1_000_000_000;

impl std::str::FromStr for Quantity {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        let bad = || QuantityError(text.to_owned());
        let split = text
            .find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '-' | '+')))
            .unwrap_or(text.len());
        let (number, suffix) = text.split_at(split);
        let (numerator, denominator): (i128, i128) = match suffix {
            "n" => (1, NANO),
            "u" => (1, 1_000_000),
            "m" => (1, 1_000),
            "" => (1, 1),
            "k" => (1_000, 1),
            "M" => (1_000_000, 1),
            "G" => (NANO, 1),
            "T" => (NANO * 1_000, 1),
            "P" => (NANO * 1_000_000, 1),
            "E" => (NANO * NANO, 1),
            "Ki" => (1 << 10, 1),
            "Mi" => (1 << 20, 1),
            "Gi" => (1 << 30, 1),
            "Ti" => (1 << 40, 1),
            "Pi" => (1 << 50, 1),
            "Ei" => (1 << 60, 1),
            exponent => {
                let power: i32 = exponent
                    .strip_prefix(['e', 'E'])
                    .and_then(|p| p.parse().ok())
                    .filter(|p| (-9..=18).contains(p))
                    .ok_or_else(bad)?;
                let ten = 10_i128.pow(power.unsigned_abs());
                if power < 0 { (1, ten) } else { (ten, 1) }
            }
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let negative = whole.starts_with('-');
        let whole = whole.trim_start_matches(['-', '+']);
        if whole.is_empty() && fraction.is_empty() || fraction.len() > 9 || whole.len() > 18 {
            return Err(bad());
        }
        let digits = format!("{whole}{fraction:0<9}");
        let nanos: i128 = digits.parse().map_err(|_| bad())?;
        let value = nanos.checked_mul(numerator).ok_or_else(bad)? / denominator;
        Ok(Self(if negative { -value } else { value }))
    }
}

impl Quantity {
    /// The value in whole units, rounded down.
    pub fn units(self) -> i128 {
        self.0 / NANO
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_by_value() {
        for (a, b) in [
            ("0.0100", "10m"),
            ("1Gi", "1024Mi"),
            ("1e3", "1k"),
            ("500m", "0.5"),
            ("2", "2000m"),
        ] {
            assert_eq!(a.parse::<Quantity>(), b.parse::<Quantity>(), "{a} {b}");
        }
        assert!("2Gi".parse::<Quantity>().unwrap() > "2G".parse().unwrap());
    }

    #[test]
    fn refuses_what_is_no_quantity() {
        for text in ["", "Gi", "1 Gi", "1GiB", "one", "1.2.3", "1e99"] {
            assert!(text.parse::<Quantity>().is_err(), "{text}");
        }
    }
}
