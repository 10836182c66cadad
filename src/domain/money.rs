//! Amounts of money: exact decimals with a currency.

use std::fmt;
use std::str::FromStr;

/// The currencies without minor units, by ISO 4217.
const WITHOUT_MINOR_UNITS: &[&str] = &[
    "BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "VND", "VUV",
    "XAF", "XOF", "XPF",
];
/// The currencies whose minor unit is a thousandth.
const WITH_THOUSANDTHS: &[&str] = &["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"];
/// The most digits before the point.
const MAX_DIGITS: usize = 12;

/// A currency: three capital letters, as in ISO 4217.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Currency([u8; 3]);

impl Currency {
    /// The code, such as `EUR`.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// The number of digits after the point.
    pub fn digits(&self) -> usize {
        match self.as_str() {
            code if WITHOUT_MINOR_UNITS.contains(&code) => 0,
            code if WITH_THOUSANDTHS.contains(&code) => 3,
            _ => 2,
        }
    }
}

impl FromStr for Currency {
    type Err = String;

    /// Parses a code; lower case is accepted, as payment providers write it.
    fn from_str(text: &str) -> Result<Self, String> {
        let code = <[u8; 3]>::try_from(text.as_bytes()).ok();
        let code = code.filter(|code| code.iter().all(u8::is_ascii_alphabetic));
        let code = code.ok_or_else(|| format!("`{text}` is not a currency such as EUR"))?;
        Ok(Self(code.map(|letter| letter.to_ascii_uppercase())))
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An amount of money.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Money {
    /// The amount in minor units, such as cents.
    pub minor: i64,
    /// The currency.
    pub currency: Currency,
}

impl Money {
    /// Parses an amount such as `8` or `8.50`.
    ///
    /// # Errors
    /// A message that says what is wrong.
    pub fn parse(amount: &str, currency: Currency) -> Result<Self, String> {
        let digits = currency.digits();
        let wrong = || {
            format!(
                "`{amount}` is not an amount such as {}",
                Self { minor: 800, currency }.amount()
            )
        };
        let (whole, fraction) = amount.split_once('.').unwrap_or((amount, ""));
        let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let has_point = whole.len() < amount.len();
        if whole.is_empty()
            || whole.len() > MAX_DIGITS
            || fraction.len() > digits
            || has_point == fraction.is_empty()
            || !is_number(whole)
            || !is_number(fraction)
        {
            return Err(wrong());
        }
        let minor = format!("{whole}{fraction:0<digits$}").parse().map_err(|_| wrong())?;
        Ok(Self { minor, currency })
    }

    /// The amount as an exact decimal, such as `8.50`.
    pub fn amount(&self) -> String {
        let digits = self.currency.digits();
        let sign = if self.minor < 0 { "-" } else { "" };
        let unsigned = format!("{:0>width$}", self.minor.unsigned_abs(), width = digits + 1);
        let (whole, fraction) = unsigned.split_at(unsigned.len() - digits);
        let point = if digits > 0 { "." } else { "" };
        format!("{sign}{whole}{point}{fraction}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(amount: &str, currency: &str) -> Result<String, String> {
        Ok(Money::parse(amount, currency.parse()?)?.amount())
    }

    #[test]
    fn amounts_have_the_digits_of_their_currency() {
        assert_eq!(parse("8", "EUR").unwrap(), "8.00");
        assert_eq!(parse("8.5", "usd").unwrap(), "8.50");
        assert_eq!(parse("0.05", "USD").unwrap(), "0.05");
        assert_eq!(parse("900", "JPY").unwrap(), "900");
        assert_eq!(parse("1.125", "KWD").unwrap(), "1.125");
        let refund = Money { minor: -5, currency: "EUR".parse().unwrap() };
        assert_eq!(refund.amount(), "-0.05");
    }

    #[test]
    fn wrong_amounts_are_refused() {
        for amount in
            ["", ".", "8.", ".5", "-1", "+1", "1e3", "1,5", "8.505", "9999999999999", "8.0.0"]
        {
            assert!(parse(amount, "EUR").is_err(), "{amount}");
        }
        assert!(parse("1.5", "JPY").is_err());
        for currency in ["", "EU", "EURO", "E1R", "€"] {
            assert!(parse("1", currency).is_err(), "{currency}");
        }
    }
}
