package edictum

import (
	"bytes"
	"encoding/json"
	"slices"

	"github.com/edictum/edictum-guard-go/internal/rawjson"
)

// JSON is a value as this package hands it to the engine. A json.RawMessage stays as it is, if it is one value; everything
// else is written by encoding/json, without the escapes that are only needed inside HTML.
func JSON(value any) (json.RawMessage, error) { return encoded(value) }

// encoded is the same, for this package.
func encoded(value any) (json.RawMessage, error) {
	if raw, ok := value.(json.RawMessage); ok {
		return raw, rawjson.Valid(raw)
	}
	var buffer bytes.Buffer
	encoder := json.NewEncoder(&buffer)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(buffer.Bytes(), []byte("\n")), nil
}

// object puts fields together, by name, each as it is: json.Marshal would write raw messages anew.
func object(fields map[string]json.RawMessage) json.RawMessage {
	names := make([]string, 0, len(fields))
	for name := range fields {
		names = append(names, name)
	}
	slices.Sort(names)
	text := []byte{'{'}
	for number, name := range names {
		if number > 0 {
			text = append(text, ',')
		}
		text = appendString(text, name)
		text = append(text, ':')
		text = append(text, fields[name]...)
	}
	return append(text, '}')
}

// appendString writes a string as JSON.
func appendString(text []byte, value string) []byte {
	for at := 0; at < len(value); at++ {
		if char := value[at]; char < ' ' || char == '"' || char == '\\' || char >= 0x7f {
			quoted, err := encoded(value)
			if err != nil {
				return append(text, `""`...)
			}
			return append(text, quoted...)
		}
	}
	text = append(text, '"')
	text = append(text, value...)
	return append(text, '"')
}

// decoded reads JSON into Go's own types; numbers keep their digits.
func decoded(text json.RawMessage) (any, error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var value any
	err := decoder.Decode(&value)
	return value, err
}
