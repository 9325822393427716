//! Bank accounts: a country, the length that the country has, and ISO 7064's modulo 97.

/// Countries and how long their account numbers are, after SWIFT's registry.
const COUNTRIES: [(&[u8; 2], usize); 78] = [
    (b"AD", 24),
    (b"AE", 23),
    (b"AL", 28),
    (b"AT", 20),
    (b"AZ", 28),
    (b"BA", 20),
    (b"BE", 16),
    (b"BG", 22),
    (b"BH", 22),
    (b"BR", 29),
    (b"BY", 28),
    (b"CH", 21),
    (b"CR", 22),
    (b"CY", 28),
    (b"CZ", 24),
    (b"DE", 22),
    (b"DK", 18),
    (b"DO", 28),
    (b"EE", 20),
    (b"EG", 29),
    (b"ES", 24),
    (b"FI", 18),
    (b"FO", 18),
    (b"FR", 27),
    (b"GB", 22),
    (b"GE", 22),
    (b"GI", 23),
    (b"GL", 18),
    (b"GR", 27),
    (b"GT", 28),
    (b"HR", 21),
    (b"HU", 28),
    (b"IE", 22),
    (b"IL", 23),
    (b"IQ", 23),
    (b"IS", 26),
    (b"IT", 27),
    (b"JO", 30),
    (b"KW", 30),
    (b"KZ", 20),
    (b"LB", 28),
    (b"LC", 32),
    (b"LI", 21),
    (b"LT", 20),
    (b"LU", 20),
    (b"LV", 21),
    (b"LY", 25),
    (b"MC", 27),
    (b"MD", 24),
    (b"ME", 22),
    (b"MK", 19),
    (b"MR", 27),
    (b"MT", 31),
    (b"MU", 30),
    (b"NL", 18),
    (b"NO", 15),
    (b"PK", 24),
    (b"PL", 28),
    (b"PS", 29),
    (b"PT", 25),
    (b"QA", 29),
    (b"RO", 24),
    (b"RS", 22),
    (b"RU", 33),
    (b"SA", 24),
    (b"SC", 31),
    (b"SD", 18),
    (b"SE", 24),
    (b"SI", 19),
    (b"SK", 24),
    (b"SM", 27),
    (b"ST", 25),
    (b"SV", 28),
    (b"TL", 23),
    (b"TN", 24),
    (b"TR", 26),
    (b"UA", 29),
    (b"XK", 20),
];

pub fn length_at(bytes: &[u8]) -> Option<usize> {
    let country = [bytes.first()?.to_ascii_uppercase(), bytes.get(1)?.to_ascii_uppercase()];
    let &(_, length) = COUNTRIES.iter().find(|(code, _)| **code == country)?;
    let spaced = bytes.get(4) == Some(&b' ');
    let mut number = Vec::with_capacity(length);
    let mut at = 0;
    while number.len() < length {
        // On paper there is a space after each fourth character.
        if spaced && !number.is_empty() && number.len() % 4 == 0 {
            if bytes.get(at) != Some(&b' ') {
                return None;
            }
            at += 1;
        }
        let byte = *bytes.get(at)?;
        if !byte.is_ascii_alphanumeric() {
            return None;
        }
        number.push(byte);
        at += 1;
    }
    (number[2].is_ascii_digit() && number[3].is_ascii_digit() && remainder(&number) == 1).then_some(at)
}

/// Of the number that comes about when the first four characters go to the end, and letters become numbers from 10 on.
fn remainder(number: &[u8]) -> u32 {
    let (head, tail) = number.split_at(4);
    tail.iter().chain(head).fold(0, |remainder, byte| {
        let value = char::from(*byte).to_digit(36).unwrap_or(0);
        let shifted = if value < 10 { remainder * 10 } else { remainder * 100 };
        (shifted + value) % 97
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From the registry's examples.
    const ACCOUNTS: [&str; 14] = [
        "DE89370400440532013000",
        "DE89 3704 0044 0532 0130 00",
        "GB29NWBK60161331926819",
        "gb29nwbk60161331926819",
        "FR1420041010050500013M02606",
        "FR14 2004 1010 0505 0001 3M02 606",
        "NO9386011117947",
        "BE68539007547034",
        "CH9300762011623852957",
        "NL91ABNA0417164300",
        "ES9121000418450200051332",
        "MT84MALT011000012345MTLCAST001S",
        "SA0380000000608010167519",
        "BR1800360305000010009795493C1",
    ];

    #[test]
    fn accounts_are_found() {
        for account in ACCOUNTS {
            assert_eq!(length_at(account.as_bytes()), Some(account.len()), "{account}");
        }
    }

    #[test]
    fn any_wrong_or_swapped_digit_is_noticed() {
        for account in ACCOUNTS {
            for place in 2..account.len() {
                let mut wrong = account.as_bytes().to_vec();
                if !wrong[place].is_ascii_digit() {
                    continue;
                }
                wrong[place] = b'0' + (wrong[place] - b'0' + 1) % 10;
                assert_eq!(length_at(&wrong), None, "{}", String::from_utf8_lossy(&wrong));
                let mut swapped = account.as_bytes().to_vec();
                swapped.swap(place - 1, place);
                let (before, after) = (swapped[place - 1], swapped[place]);
                if place > 4 && before != after && before.is_ascii_digit() && after.is_ascii_digit() {
                    assert_eq!(length_at(&swapped), None, "{}", String::from_utf8_lossy(&swapped));
                }
            }
        }
    }

    #[test]
    fn other_words_are_no_accounts() {
        for word in [
            "DE8937040044053201300",       // one short
            "DE89 37040044 0532 0130 00",  // nobody writes it so
            "US89370400440532013000",      // no such country in the registry
            "DEAB370400440532013000",      // no checksum
            "DE89-3704-0044-0532-0130-00", // other signs
            "DESCRIPTION OF THE ACCOUNT",
            "",
            "DE",
        ] {
            assert_eq!(length_at(word.as_bytes()), None, "{word}");
        }
    }

    #[test]
    fn the_list_is_sorted_and_has_nothing_twice() {
        assert!(COUNTRIES.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }
}
