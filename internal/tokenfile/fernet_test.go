package tokenfile

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"lockstep/internal/opaque"
)

// fernetFile is ideaFile as the Fernet class of Python's package cryptography
// 48.0.0 seals it.
const (
	fernetKey  = "c2lnbmluZyBrZXksIDE2LmVuY3J5cHRpbmcsIDE2LiA="
	fernetFile = "" +
		"gAAAAABoTuGA0lluZXtVUDk9-c-3rIQjmssntWqMncujhWXCgijU8y5-2y4lQ2K9vc9GgjhMEv8meusH1zTmAkoimu0sU36F01iz" +
		"Hm5KzDXE8KKGDPp-c6U1EAncME5I3_SmePxIPJqJ41NJ1z-EOXNOpO2arqtl4fATFIPbKlBgonusURw2gOZHZpypRHS2qmC34rhf" +
		"P82Eqd_ATj49eajV3OmXdwrR48_cVgY6zpAoad1boBboudRqYeSAHvdyz_AuoP1IUBQ863vSABLllKYpPl0rzcw8VzBAYmGcVZKR" +
		"_iObzbAAfPVdaiAL8MiFOMNZB7zB9PC1KCYL7-0rXzv3_LB1T9AIfmaENehNbhy08a6fKesFGifeffwe8tuCmtrk3ma9UpYYrYOR" +
		"YiNAxulQ6caXNowVqOj-6MgOamTZ6n00tm91uLQSDvCTDEx6RjT_MJG1JF8hviDGLL5KnkxrtTJa0gYt7bZ6ZU2c1bn7cLrd1veJ" +
		"OTKdrOI5pY7PmzqoHQs28MPh2-f5sbhIubL45Hkcu7q6T-uuS_XdHEfrzwAzh1gB7oU1WWDwwWDi94IFUkIihl_x3jP0cdMyEnGM" +
		"NCZOfAq7IErd-_RtNKW0iKevczm6qZvmb5HH9ApdjiEjQGBL7C0XYfIBVH3u-_q41bA6J0rPwQRCcCnkFf8nLag1Rj90FhHvTY-e" +
		"GD1iuioTB7NKn0WqAVWDsz4BNpopTLAVtgbF_JHD2V6xRmDXPzVIdSGRh1q2H4AKVlZeidLAu6yQZ0FhpbMCDPXSWlqgK5WJxGWN" +
		"0YIEjCXNgOtqs36WQW7tUiOli6VAY9w904-CmYNDAEmqFPR3zzm60HAU7Ej9-LHM4TYSZlh57RLF_-0FKJ7mP5g="
)

func TestFernetThatIsRefused(t *testing.T) {
	for _, tt := range []struct {
		name, file, key string
		want            error
	}{
		{"no key", fernetFile, "", ErrPreSharedKey},
		{"another key", fernetFile, base64.URLEncoding.EncodeToString([]byte(key32)), ErrDecrypt},
		{"a key that is none", fernetFile, key32, ErrDecrypt},
		{"a key too short", fernetFile, "c2hvcnQ=", ErrDecrypt},
		{"cut short", fernetFile[:40], fernetKey, ErrDecrypt},
		{"with more behind it", fernetFile + "AAAA", fernetKey, ErrDecrypt},
	} {
		got, _, err := Read(strings.NewReader(tt.file), Options{PreSharedKey: opaque.Text(tt.key)})
		if got != nil || !errors.Is(err, tt.want) {
			t.Errorf("%s: %+v, %v; want %v", tt.name, got, err, tt.want)
		}
	}
}

func TestAnyChangedBitOfFernetIsNoticed(t *testing.T) {
	raw, err := base64.URLEncoding.DecodeString(fernetFile)
	if err != nil {
		t.Fatal(err)
	}
	for i := range raw {
		raw[i] ^= 1
		changed := base64.URLEncoding.EncodeToString(raw)
		raw[i] ^= 1
		got, _, err := Read(strings.NewReader(changed), Options{Format: PrivacyIDEA, PreSharedKey: opaque.Text(fernetKey)})
		if err == nil || got != nil {
			t.Errorf("octet %d changed: %+v, %v", i, got, err)
		}
	}
}
