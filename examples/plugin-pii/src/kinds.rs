//! The kinds of personal numbers: how each is written, and the checksum that tells it from any other number.

mod card;
mod iban;
mod national;

/// A kind of personal number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A payment card: Luhn, ISO/IEC 7812.
    Card,
    /// A bank account: modulo 97, ISO 13616.
    Iban,
    /// Brazil's taxpayer: two digits modulo 11.
    Cpf,
    /// Spain's citizen or resident (DNI, NIE): a letter modulo 23.
    Dni,
    /// Britain's patient: modulo 11.
    Nhs,
    /// Germany's taxpayer: modulo 11 and 10, ISO 7064.
    SteuerId,
}

impl Kind {
    pub const ALL: [Self; 6] = [Self::Card, Self::Iban, Self::Cpf, Self::Dni, Self::Nhs, Self::SteuerId];

    /// Its name in rules.
    pub fn name(self) -> &'static str {
        match self {
            Self::Card => "card",
            Self::Iban => "iban",
            Self::Cpf => "cpf",
            Self::Dni => "dni",
            Self::Nhs => "nhs",
            Self::SteuerId => "steuer_id",
        }
    }

    /// All of them, for messages.
    pub fn names() -> String {
        format!("{} or `any`", Self::ALL.map(|kind| format!("`{}`", kind.name())).join(", "))
    }

    /// How long a number of this kind is that begins here, as it is written.
    pub fn length_at(self, bytes: &[u8]) -> Option<usize> {
        match self {
            Self::Card => card::length_at(bytes),
            Self::Iban => iban::length_at(bytes),
            Self::Cpf => national::cpf(bytes),
            Self::Dni => national::dni(bytes),
            Self::Nhs => national::nhs(bytes),
            Self::SteuerId => national::steuer_id(bytes),
        }
    }
}

/// The digits of a pattern, and how long it is, when these bytes begin with it. `9` stands for a digit, anything else for
/// itself.
fn digits(bytes: &[u8], pattern: &str) -> Option<(Vec<u32>, usize)> {
    let mut digits = Vec::with_capacity(pattern.len());
    for (place, expected) in pattern.bytes().enumerate() {
        let byte = *bytes.get(place)?;
        match expected {
            b'9' => digits.push(char::from(byte).to_digit(10)?),
            other if other == byte => {}
            _ => return None,
        }
    }
    Some((digits, pattern.len()))
}

/// The first of these patterns whose digits pass.
fn written(bytes: &[u8], patterns: &[&str], pass: impl Fn(&[u32]) -> bool) -> Option<usize> {
    patterns.iter().find_map(|pattern| {
        let (digits, length) = digits(bytes, pattern)?;
        // More digits behind it: a longer number, of which this is a part.
        let whole = !bytes.get(length).is_some_and(u8::is_ascii_digit);
        (whole && pass(&digits)).then_some(length)
    })
}
