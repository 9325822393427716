//! Numbers that states give to people.

use super::{digits, written};

/// Brazil: the last two digits are each a weighed sum of those before, modulo 11.
pub fn cpf(bytes: &[u8]) -> Option<usize> {
    written(bytes, &["999.999.999-99", "99999999999"], |digits| {
        let check = |count: usize| {
            let weights = (2..=count as u32 + 1).rev();
            let sum: u32 = digits.iter().zip(weights).map(|(digit, weight)| digit * weight).sum();
            (sum * 10 % 11) % 10
        };
        let alike = digits.iter().all(|digit| *digit == digits[0]);
        !alike && check(9) == digits[9] && check(10) == digits[10]
    })
}

/// Spain: eight digits (or `X`, `Y`, `Z` and seven), and a letter that is their remainder by 23.
pub fn dni(bytes: &[u8]) -> Option<usize> {
    const LETTERS: &[u8; 23] = b"TRWAGMYFPDXBNJZSQVHLCKE";
    let resident = match bytes.first()?.to_ascii_uppercase() {
        b'X' => Some(0),
        b'Y' => Some(1),
        b'Z' => Some(2),
        _ => None,
    };
    let (number, mut length) = match resident {
        Some(first) => {
            let hyphen = usize::from(bytes.get(1) == Some(&b'-'));
            let (rest, length) = digits(bytes.get(1 + hyphen..)?, "9999999")?;
            (rest.iter().fold(first, |number, digit| number * 10 + digit), 1 + hyphen + length)
        }
        None => {
            let (all, length) = digits(bytes, "99999999")?;
            (all.iter().fold(0, |number, digit| number * 10 + digit), length)
        }
    };
    length += usize::from(bytes.get(length) == Some(&b'-'));
    let letter = LETTERS[number as usize % LETTERS.len()];
    (bytes.get(length)?.to_ascii_uppercase() == letter).then_some(length + 1)
}

/// Britain: ten digits, the last one a weighed sum modulo 11. Only as letters and screens show it, 3 3 4: any tenth moment
/// in seconds would pass otherwise.
pub fn nhs(bytes: &[u8]) -> Option<usize> {
    written(bytes, &["999 999 9999", "999-999-9999"], |digits| {
        let sum: u32 = digits.iter().take(9).zip((2..=10).rev()).map(|(digit, weight)| digit * weight).sum();
        let check = (11 - sum % 11) % 11;
        let alike = digits.iter().all(|digit| *digit == digits[0]);
        !alike && check == digits[9]
    })
}

/// Germany: eleven digits, none of them first a zero; among the first ten one comes twice or thrice, and the last one is
/// ISO 7064's, modulo 11 and 10.
pub fn steuer_id(bytes: &[u8]) -> Option<usize> {
    written(bytes, &["99 999 999 999", "99999999999"], |digits| {
        let counts = (0..10).map(|digit| digits.iter().take(10).filter(|there| **there == digit).count());
        let repeated: Vec<_> = counts.filter(|count| *count > 1).collect();
        let mut product = 10;
        for digit in digits.iter().take(10) {
            let sum = match (digit + product) % 10 {
                0 => 10,
                sum => sum,
            };
            product = sum * 2 % 11;
        }
        let check = (11 - product) % 10;
        digits[0] != 0 && matches!(repeated[..], [2 | 3]) && check == digits[10]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    type LengthAt = fn(&[u8]) -> Option<usize>;

    /// Name, rule, numbers of this kind, and numbers that only look like it.
    const TABLE: [(&str, LengthAt, &[&str], &[&str]); 4] = [
        (
            "cpf",
            cpf,
            &["529.982.247-25", "52998224725", "111.444.777-35", "12345678909"],
            &["529.982.247-26", "52998224735", "111.111.111-11", "00000000000", "529.982.24725", "529982247255", ""],
        ),
        (
            "dni",
            dni,
            &["12345678Z", "12345678-Z", "12345678z", "00000000T", "X1234567L", "Y1234567X", "Z-1234567-R"],
            &["12345678A", "1234567Z", "X1234567T", "W1234567L", "12345678", "12345678 Z", ""],
        ),
        (
            "nhs",
            nhs,
            &["943 476 5919", "943-476-5919", "401 023 2137"],
            &["943 476 5918", "9434765919", "943 4765919", "111 111 1111", "943 476 59190", ""],
        ),
        (
            "steuer_id",
            steuer_id,
            &["86095742719", "86 095 742 719", "47036892816", "65929970489"],
            &["86095742718", "06095742719", "12345678901", "11111111111", "860957427190", "86-095-742-719", ""],
        ),
    ];

    #[test]
    fn numbers_are_told_from_what_looks_like_them() {
        for (name, length_at, good, bad) in TABLE {
            for number in good {
                assert_eq!(length_at(number.as_bytes()), Some(number.len()), "{name}: {number}");
            }
            for number in bad {
                assert_eq!(length_at(number.as_bytes()), None, "{name}: {number}");
            }
        }
    }

    #[test]
    fn any_wrong_digit_is_noticed() {
        // Brazil's rule takes the remainder 10 for 0, and so misses a few.
        for (name, length_at, good, _) in TABLE.into_iter().filter(|(name, ..)| *name != "cpf") {
            for number in good {
                for place in (0..number.len()).filter(|place| number.as_bytes()[*place].is_ascii_digit()) {
                    let mut wrong = number.as_bytes().to_vec();
                    wrong[place] = b'0' + (wrong[place] - b'0' + 1) % 10;
                    assert_eq!(length_at(&wrong), None, "{name}: {}", String::from_utf8_lossy(&wrong));
                }
            }
        }
    }
}
