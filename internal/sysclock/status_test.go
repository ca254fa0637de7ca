package sysclock

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestReadOnThisMachine(t *testing.T) {
	s, err := Read()
	if err != nil {
		t.Fatal(err)
	}
	if s.MaxError < 0 || s.EstError < 0 || s.MaxError > time.Hour {
		t.Errorf("Read() = %+v, which no kernel says", s)
	}
	t.Logf("%+v", s)
}

func TestDecode(t *testing.T) {
	for _, tt := range []struct {
		name   string
		state  int
		status int32
		want   bool
	}{
		{"kept", unix.TIME_OK, unix.STA_PLL, true},
		{"kept, in nanoseconds", unix.TIME_OK, unix.STA_PLL | unix.STA_NANO, true},
		{"a leap second is coming", unix.TIME_INS, unix.STA_PLL | unix.STA_INS, true},
		{"a second will be left out", unix.TIME_DEL, unix.STA_PLL | unix.STA_DEL, true},
		{"a leap second is going on", unix.TIME_OOP, unix.STA_PLL | unix.STA_INS, true},
		{"a leap second is over", unix.TIME_WAIT, unix.STA_PLL, true},
		{"not kept", unix.TIME_ERROR, unix.STA_UNSYNC, false},
		{"not kept, with a leap second coming", unix.TIME_INS, unix.STA_UNSYNC | unix.STA_INS, false},
		{"a clock that is broken", unix.TIME_ERROR, unix.STA_CLOCKERR, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := decode(tt.state, &unix.Timex{Status: tt.status, Maxerror: 2_500_000, Esterror: 1500})
			want := Status{tt.want, 2500 * time.Millisecond, 1500 * time.Microsecond}
			if got != want {
				t.Errorf("decode = %+v, want %+v", got, want)
			}
		})
	}
}
