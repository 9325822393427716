// Package rawjson takes JSON texts apart without changing a byte of them: 1.0 stays 1.0, and integers of any size stay
// themselves. It needs no recursion, so that depth is no danger; what a text means is for others to say.
package rawjson

import (
	"encoding/json"
	"fmt"
	"unicode/utf8"
)

// Member is a member of an object, as it was written.
type Member struct {
	// Key is the key with its escapes resolved.
	Key string
	// Value is the text of the value.
	Value json.RawMessage
}

// Members gives the members of an object in their order, also those that come twice.
func Members(text []byte) ([]Member, error) {
	if !utf8.Valid(text) {
		return nil, fmt.Errorf("the text is not UTF-8")
	}
	at := space(text, 0)
	if at >= len(text) || text[at] != '{' {
		return nil, unexpected(at)
	}
	at = space(text, at+1)
	var members []Member
	if at < len(text) && text[at] == '}' {
		return members, trailing(text, at+1)
	}
	for {
		end, err := str(text, at)
		if err != nil {
			return nil, err
		}
		key, err := decoded(text[at:end])
		if err != nil {
			return nil, unexpected(at)
		}
		at = space(text, end)
		if at >= len(text) || text[at] != ':' {
			return nil, unexpected(at)
		}
		at = space(text, at+1)
		if end, err = value(text, at); err != nil {
			return nil, err
		}
		members = append(members, Member{key, json.RawMessage(text[at:end])})
		at = space(text, end)
		if at >= len(text) {
			return nil, unexpected(at)
		}
		switch text[at] {
		case ',':
			at = space(text, at+1)
		case '}':
			return members, trailing(text, at+1)
		default:
			return nil, unexpected(at)
		}
	}
}

// Valid says why a text is not one JSON value. Only such a text may be put into another one.
func Valid(text []byte) error {
	if !utf8.Valid(text) {
		return fmt.Errorf("the text is not UTF-8")
	}
	at := space(text, 0)
	end, err := value(text, at)
	if err != nil {
		return err
	}
	return trailing(text, end)
}

// Object says why a text is not one JSON object.
func Object(text []byte) error {
	if at := space(text, 0); at >= len(text) || text[at] != '{' {
		return unexpected(at)
	}
	return Valid(text)
}

func trailing(text []byte, at int) error {
	if at = space(text, at); at < len(text) {
		return unexpected(at)
	}
	return nil
}

// The text is not quoted: it may hold secrets.
func unexpected(at int) error {
	return fmt.Errorf("not JSON at byte %d", at)
}

func space(text []byte, at int) int {
	for at < len(text) && (text[at] == ' ' || text[at] == '\n' || text[at] == '\r' || text[at] == '\t') {
		at++
	}
	return at
}

func decoded(quoted []byte) (string, error) {
	for _, byte := range quoted {
		if byte == '\\' {
			var key string
			err := json.Unmarshal(quoted, &key)
			return key, err
		}
	}
	return string(quoted[1 : len(quoted)-1]), nil
}

// value gives the end of the value that begins here.
func value(text []byte, at int) (int, error) {
	// What is open: '{' or '['.
	var open []byte
	var err error
	for {
		if at >= len(text) {
			return at, unexpected(at)
		}
		switch char := text[at]; {
		case char == '{' || char == '[':
			open = append(open, char)
			at = space(text, at+1)
			if at < len(text) && text[at] == char+2 {
				open = open[:len(open)-1]
				at++
				break
			}
			if char == '{' {
				if at, err = key(text, at); err != nil {
					return at, err
				}
			}
			continue
		case char == '"':
			at, err = str(text, at)
		case char == '-' || char >= '0' && char <= '9':
			at, err = number(text, at)
		default:
			at, err = word(text, at)
		}
		if err != nil {
			return at, err
		}
		// A value has ended; so may those around it.
		for ended := true; ended; {
			if len(open) == 0 {
				return at, nil
			}
			last := open[len(open)-1]
			at = space(text, at)
			if at >= len(text) {
				return at, unexpected(at)
			}
			switch text[at] {
			case last + 2:
				open = open[:len(open)-1]
				at++
			case ',':
				at = space(text, at+1)
				if last == '{' {
					if at, err = key(text, at); err != nil {
						return at, err
					}
				}
				ended = false
			default:
				return at, unexpected(at)
			}
		}
	}
}

// key gives the beginning of the value after a key.
func key(text []byte, at int) (int, error) {
	at, err := str(text, at)
	if err != nil {
		return at, err
	}
	if at = space(text, at); at >= len(text) || text[at] != ':' {
		return at, unexpected(at)
	}
	return space(text, at+1), nil
}

func str(text []byte, at int) (int, error) {
	if at >= len(text) || text[at] != '"' {
		return at, unexpected(at)
	}
	for at++; at < len(text); at++ {
		switch char := text[at]; {
		case char == '"':
			return at + 1, nil
		case char < ' ':
			return at, unexpected(at)
		case char == '\\':
			at++
			if at >= len(text) {
				return at, unexpected(at)
			}
			switch text[at] {
			case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
			case 'u':
				for digit := 0; digit < 4; digit++ {
					if at++; at >= len(text) || !hexadecimal(text[at]) {
						return at, unexpected(at)
					}
				}
			default:
				return at, unexpected(at)
			}
		}
	}
	return at, unexpected(at)
}

func hexadecimal(char byte) bool {
	return char >= '0' && char <= '9' || char >= 'a' && char <= 'f' || char >= 'A' && char <= 'F'
}

func number(text []byte, at int) (int, error) {
	if text[at] == '-' {
		at++
	}
	switch {
	case at < len(text) && text[at] == '0':
		at++
	case at < len(text) && text[at] >= '1' && text[at] <= '9':
		at = digits(text, at)
	default:
		return at, unexpected(at)
	}
	if at < len(text) && text[at] == '.' {
		end := digits(text, at+1)
		if end == at+1 {
			return end, unexpected(end)
		}
		at = end
	}
	if at < len(text) && (text[at] == 'e' || text[at] == 'E') {
		at++
		if at < len(text) && (text[at] == '+' || text[at] == '-') {
			at++
		}
		end := digits(text, at)
		if end == at {
			return end, unexpected(end)
		}
		at = end
	}
	return at, nil
}

func digits(text []byte, at int) int {
	for at < len(text) && text[at] >= '0' && text[at] <= '9' {
		at++
	}
	return at
}

func word(text []byte, at int) (int, error) {
	for _, word := range [...]string{"true", "false", "null"} {
		if len(text)-at >= len(word) && string(text[at:at+len(word)]) == word {
			return at + len(word), nil
		}
	}
	return at, unexpected(at)
}
