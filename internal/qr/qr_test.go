package qr

import (
	"image"
	"image/color"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"lockstep/internal/testenv"
)

const uri = "otpauth://totp/Lockstep:alice?algorithm=SHA1&digits=6&issuer=Lockstep&period=30&secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"

// A camera that never saw the text must read it back from what the terminal
// shows.
func TestScannerReadsWhatTheTerminalShows(t *testing.T) {
	zbarimg := testenv.Tool(t, "zbarimg")
	for _, text := range []string{uri, "x", strings.Repeat("long text ", 30)} {
		for _, c := range []Colour{Plain, ANSI} {
			var out strings.Builder
			if err := Write(&out, text, c); err != nil {
				t.Fatal(err)
			}
			got, err := exec.Command(zbarimg, "-q", "--raw", photograph(t, out.String())).Output()
			if err != nil || strings.TrimSuffix(string(got), "\n") != text {
				t.Errorf("colour %d: scanner reads %q, %v; want %q", c, got, err, text)
			}
		}
	}
}

// photograph turns the terminal's characters into a picture, eight points to a
// module, light on dark.
func photograph(t *testing.T, screen string) string {
	screen = strings.NewReplacer("\x1b[38;5;231;48;5;16m", "", "\x1b[0m", "").Replace(screen)
	lines := strings.Split(strings.TrimSuffix(screen, "\n"), "\n")
	const point = 8
	width := len([]rune(lines[0]))
	img := image.NewGray(image.Rect(0, 0, width*point, len(lines)*2*point))
	for y, l := range lines {
		for x, r := range []rune(l) {
			top, bottom := r == '█' || r == '▀', r == '█' || r == '▄'
			for i := range point * point {
				img.Set(x*point+i%point, 2*y*point+i/point, shade(top))
				img.Set(x*point+i%point, (2*y+1)*point+i/point, shade(bottom))
			}
		}
	}
	path := filepath.Join(t.TempDir(), "screen.png")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := png.Encode(f, img); err != nil {
		t.Fatal(err)
	}
	return path
}

func shade(light bool) color.Color {
	if light {
		return color.White
	}
	return color.Black
}

func TestTooLongIsAnErrorWithoutTheText(t *testing.T) {
	err := Write(&strings.Builder{}, strings.Repeat("canary", 1000), Plain)
	if err == nil || strings.Contains(err.Error(), "canary") {
		t.Errorf("error %v", err)
	}
}

func TestLinesFitATerminal(t *testing.T) {
	var out strings.Builder
	if err := Write(&out, uri, Plain); err != nil {
		t.Fatal(err)
	}
	if lines := strings.Split(out.String(), "\n"); len([]rune(lines[0])) > 79 {
		t.Errorf("%d columns", len([]rune(lines[0])))
	}
}
