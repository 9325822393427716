package rawjson

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestMembersStayAsTheyWereWritten(t *testing.T) {
	members, err := Members([]byte(` { "a" : 1.0 , "\u0062":12345678901234567890,"c":{"d":[1e400, "\ud800"]} ,"a":null } `))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, member := range members {
		got = append(got, member.Key+"="+string(member.Value))
	}
	want := `a=1.0|b=12345678901234567890|c={"d":[1e400, "\ud800"]}|a=null`
	if strings.Join(got, "|") != want {
		t.Errorf("got %s, want %s", strings.Join(got, "|"), want)
	}
}

func TestDepthIsNoDanger(t *testing.T) {
	deep := strings.Repeat(`[{"a":`, 200_000) + "1" + strings.Repeat("}]", 200_000)
	if err := Valid([]byte(deep)); err != nil {
		t.Error(err)
	}
	if err := Valid([]byte(deep[:len(deep)-1])); err == nil {
		t.Error("what is not closed is accepted")
	}
}

// What one value is, encoding/json knows as well.
func FuzzValid(f *testing.F) {
	for _, seed := range []string{
		"", " ", "{}", "[]", "[ ]", "{ }", "[1,]", "[,1]", "{,}", `{"a":1,}`, `{"a"}`, `{"a":}`, `{"a" :1}`, "1 2", "01", "-", "-0",
		"1.", "1.e1", "1e", "1e+", "1E-7", ".5", "tru", "true", "nulll", `"`, `"\`, `"\u12"`, `"\u12g4"`, `"\x"`, "\"\n\"", "\"\x7f\"", "NaN",
		`{"a":[1,{"b":[]}],"c":{}}`, "[1}", `{"a":1]`, "[[]", "]", "\xff", `"é"`, "{'a':1}", "[1 2]", `{"a":1 "b":2}`, "// x\n1",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		ours := Valid(text) == nil
		theirs := json.Valid(text)
		// They accept bytes that are not UTF-8, and we do not.
		if ours && !theirs || theirs && !ours && strings.ToValidUTF8(string(text), "") == string(text) {
			t.Errorf("%q: ours %v, theirs %v", text, ours, theirs)
		}
		if members, err := Members(text); (err == nil) != (Object(text) == nil) {
			t.Errorf("%q: members %v (%v), object %v", text, members, err, Object(text))
		}
	})
}
