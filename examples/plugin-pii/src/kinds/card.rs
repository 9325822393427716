//! Payment cards: a prefix that belongs to a network, the network's length, and Luhn's checksum.

use super::written;

/// As cards show their numbers, and as programs store them.
const PATTERNS: [&str; 15] = [
    "9999 9999 9999 9999 999",
    "9999-9999-9999-9999-999",
    "9999 9999 9999 9999",
    "9999-9999-9999-9999",
    "9999 999999 99999",
    "9999-999999-99999",
    "9999 999999 9999",
    "9999-999999-9999",
    "9999999999999999999",
    "999999999999999999",
    "99999999999999999",
    "9999999999999999",
    "999999999999999",
    "99999999999999",
    "9999999999999",
];

/// First digits (from, to) and the lengths of the numbers that begin so.
const NETWORKS: [(u32, u32, &[usize]); 13] = [
    (4, 4, &[13, 16, 19]),               // Visa
    (51, 55, &[16]),                     // Mastercard
    (2221, 2720, &[16]),                 // Mastercard
    (34, 34, &[15]),                     // American Express
    (37, 37, &[15]),                     // American Express
    (6011, 6011, &[16, 17, 18, 19]),     // Discover
    (644, 649, &[16, 17, 18, 19]),       // Discover
    (65, 65, &[16, 17, 18, 19]),         // Discover
    (300, 305, &[14, 15, 16]),           // Diners Club
    (36, 36, &[14, 15, 16, 17, 18, 19]), // Diners Club
    (38, 39, &[16, 17, 18, 19]),         // Diners Club
    (3528, 3589, &[16, 17, 18, 19]),     // JCB
    (62, 62, &[16, 17, 18, 19]),         // UnionPay
];

pub fn length_at(bytes: &[u8]) -> Option<usize> {
    written(bytes, &PATTERNS, |digits| known(digits) && luhn(digits))
}

fn known(digits: &[u32]) -> bool {
    NETWORKS.iter().any(|(from, to, lengths)| {
        let places = from.ilog10() as usize + 1;
        let prefix = digits.iter().take(places).fold(0, |prefix, digit| prefix * 10 + digit);
        lengths.contains(&digits.len()) && (*from..=*to).contains(&prefix)
    })
}

/// Every second digit from the right counts twice, its digits added; the sum is a multiple of ten.
fn luhn(digits: &[u32]) -> bool {
    let weighed = digits.iter().rev().enumerate().map(|(place, digit)| match place % 2 {
        0 => *digit,
        _ if *digit > 4 => digit * 2 - 9,
        _ => digit * 2,
    });
    weighed.sum::<u32>() % 10 == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers that the networks publish for tests.
    const CARDS: [&str; 14] = [
        "4111111111111111",
        "4111 1111 1111 1111",
        "4111-1111-1111-1111",
        "4222222222222",
        "4012888888881881",
        "5555555555554444",
        "2223003122003222",
        "378282246310005",
        "3782 822463 10005",
        "6011111111111117",
        "30569309025904",
        "3056 930902 5904",
        "3530111333300000",
        "6205500000000000004",
    ];

    #[test]
    fn cards_are_found() {
        for card in CARDS {
            assert_eq!(length_at(card.as_bytes()), Some(card.len()), "{card}");
        }
    }

    #[test]
    fn any_wrong_digit_is_noticed() {
        for card in CARDS {
            for (place, digit) in card.bytes().enumerate().filter(|(_, byte)| byte.is_ascii_digit()) {
                let mut wrong = card.as_bytes().to_vec();
                wrong[place] = b'0' + (digit - b'0' + 1) % 10;
                assert_eq!(length_at(&wrong), None, "{}", String::from_utf8_lossy(&wrong));
            }
        }
    }

    #[test]
    fn other_numbers_are_no_cards() {
        for number in [
            "0000000000000000",     // passes Luhn, and nobody's prefix
            "1234567812345670",     // the same
            "9999999999999995",     // the same
            "411111111111111",      // too short for its network
            "41111111111111111",    // too long
            "4111 1111 11111111",   // nobody writes it so
            "4111  1111 1111 1111", // nor so
            "4111_1111_1111_1111",
            "1700000000000", // a moment in milliseconds
            "",
            "4",
        ] {
            assert_eq!(length_at(number.as_bytes()), None, "{number}");
        }
    }
}
