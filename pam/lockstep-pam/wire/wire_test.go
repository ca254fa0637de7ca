package wire

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"

	"lockstep/internal/opaque"
	"lockstep/pam"
)

// The numbers are those of wire.h, written out: they may not change under one of
// the two sides.
const (
	start  = "\x01\x01"
	answer = "\x01\x02"
	prompt = "\x01\x03"
	result = "\x01\x05"
)

const fields = "sshd\x00alice\x00192.0.2.1\x00ssh\x00secret\x00one_prompt\x00"

// open returns a Conn and the module's end of its socket.
func open(t testing.TB) (*Conn, *os.File) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_SEQPACKET|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	module := os.NewFile(uintptr(fds[1]), "helper")
	c, err := Open(uintptr(fds[0]))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.file.Close(); module.Close() })
	return c, module
}

func write(t testing.TB, module *os.File, frame string) {
	t.Helper()
	if _, err := module.WriteString(frame); err != nil {
		t.Fatal(err)
	}
}

func read(t testing.TB, module *os.File) string {
	t.Helper()
	b := make([]byte, 10000)
	n, err := module.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	return string(b[:n])
}

func TestConversation(t *testing.T) {
	c, module := open(t)
	write(t, module, start+"\x01\x00"+fields)
	s, err := c.Start()
	if err != nil || !s.HasAuthtok || s.User != "alice" || string(s.Authtok.Reveal()) != "secret" || s.Args[0] != "one_prompt" {
		t.Fatalf("Start = %+v, %v", s, err)
	}
	checkWiped(t)
	watched := make(chan error)
	go func() { watched <- c.Watch() }()
	for _, tt := range []struct {
		style          pam.Style
		asked, answers string
		typed          string
		err            error
	}{
		{pam.EchoOff, prompt + "\x00\x00Code: ", answer + "\x00\x00123456", "123456", nil},
		{pam.EchoOn, prompt + "\x01\x00Code: ", answer + "\x00\x00", "", nil},
		{pam.EchoOff, prompt + "\x00\x00Code: ", answer + "\x01\x00", "", pam.ErrNoAnswer},
		{pam.EchoOff, prompt + "\x00\x00Code: ", answer + "\x00\x00" + strings.Repeat("x", 8188), strings.Repeat("x", 8188), nil},
	} {
		done := make(chan struct{})
		go func() {
			defer close(done)
			typed, err := c.Prompt(tt.style, "Code: ")
			if string(typed.Reveal()) != tt.typed || !errors.Is(err, tt.err) {
				t.Errorf("Prompt = %q, %v; want %q, %v", typed.Reveal(), err, tt.typed, tt.err)
			}
			checkWiped(t)
		}()
		if got := read(t, module); got != tt.asked {
			t.Errorf("asked %q, want %q", got, tt.asked)
		}
		write(t, module, tt.answers)
		<-done
	}
	module.Close()
	if err := <-watched; err != ErrGone {
		t.Errorf("Watch = %v", err)
	}
}

func checkWiped(t *testing.T) {
	t.Helper()
	if len(bytes.Trim(buffer(), "\x00")) > 0 {
		t.Error("the message is still in its buffer")
	}
}

func TestResult(t *testing.T) {
	c, module := open(t)
	for _, tt := range []struct {
		outcome pam.Outcome
		want    string
	}{
		{pam.Accepted, result + "\x01\x00secret"},
		{pam.Refused, result + "\x02\x00"},
		{pam.Unavailable, result + "\x03\x00"},
		{pam.NotEnrolled, result + "\x04\x00"},
		{pam.Aborted, result + "\x05\x00"},
		{0, result + "\x03\x00"},
		{17, result + "\x03\x00"},
	} {
		authtok := opaque.Text("secret")
		if err := c.Result(pam.Result{Outcome: tt.outcome, Authtok: authtok}); err != nil {
			t.Fatal(err)
		}
		if got := read(t, module); got != tt.want {
			t.Errorf("outcome %d: sent %q, want %q", tt.outcome, got, tt.want)
		}
		if string(authtok.Reveal()) != "\x00\x00\x00\x00\x00\x00" {
			t.Error("the password is still there")
		}
	}
	if err := c.Result(pam.Result{Outcome: pam.Accepted, Authtok: opaque.Text(strings.Repeat("x", 8189))}); err == nil {
		t.Error("a message that is too long was sent")
	}
	module.Close()
	if err := c.Result(pam.Result{Outcome: pam.Accepted}); err == nil {
		t.Error("no error though the module has gone")
	}
}

func TestStartThatIsNone(t *testing.T) {
	for _, frame := range []string{
		start, start + "\x00", start + "\x00\x00", start + "\x00\x00garbage", start + "\x04\x00" + fields, start + "\x00\x01" + fields,
		"\x02\x01\x00\x00" + fields, "\x01\x00\x00\x00" + fields, answer + "\x00\x00" + fields, "\x01\xff\x00\x00" + fields,
		start + "\x00\x00" + strings.Repeat("x", 8188) + "\x00", "garbage", "\x00",
	} {
		c, module := open(t)
		write(t, module, frame)
		if s, err := c.Start(); !errors.Is(err, ErrProtocol) {
			t.Errorf("Start with %.40q = %+v, %v", frame, s, err)
		}
		checkWiped(t)
	}
	c, module := open(t)
	module.Close()
	if _, err := c.Start(); err != ErrGone {
		t.Errorf("Start without module: %v", err)
	}
}

func TestAnswersOutOfTurn(t *testing.T) {
	const good = answer + "\x00\x00123456"
	for _, tt := range []struct {
		name   string
		asked  bool
		frames []string
	}{
		{"unasked", false, []string{good}},
		{"twice", true, []string{good, good}},
		{"of a kind that is none", true, []string{answer + "\x02\x00"}},
		{"that are a second START", true, []string{start + "\x00\x00" + fields}},
		{"that are a RESULT", true, []string{result + "\x01\x00"}},
		{"that are too long", true, []string{answer + "\x00\x00" + strings.Repeat("x", 8189)}},
		{"that are garbage", true, []string{"x"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, module := open(t)
			c.asked.Store(tt.asked)
			for _, frame := range tt.frames {
				write(t, module, frame)
			}
			if err := c.Watch(); !errors.Is(err, ErrProtocol) {
				t.Errorf("Watch = %v", err)
			}
		})
	}
}

// A host that is killed at a prompt is no fault to be logged.
func TestModuleGoesWithoutReading(t *testing.T) {
	c, module := open(t)
	if err := c.Result(pam.Result{Outcome: pam.Refused}); err != nil {
		t.Fatal(err)
	}
	module.Close()
	if err := c.Watch(); err != ErrGone {
		t.Errorf("Watch = %v", err)
	}
}

func TestOpenNeedsTheSocket(t *testing.T) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fds[0])
	defer syscall.Close(fds[1])
	if c, err := Open(uintptr(fds[0])); err == nil {
		t.Errorf("Open of a stream = %v", c)
	}
	if c, err := Open(1 << 20); err == nil {
		t.Errorf("Open of nothing = %v", c)
	}
}

func FuzzFrame(f *testing.F) {
	f.Add([]byte(start + "\x01\x00" + fields))
	f.Add([]byte(answer + "\x00\x00123456"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, frame []byte) {
		m, err := parse(frame)
		if err != nil {
			if !errors.Is(err, ErrProtocol) {
				t.Fatal(err)
			}
			return
		}
		if again := append([]byte{1, m.kind, m.arg, 0}, m.text...); !bytes.Equal(again, frame) {
			t.Errorf("%q became %q", frame, again)
		}
	})
}

// Whatever the module says, the helper comes to an end, and takes no answer but
// the first to its one prompt.
func FuzzModule(f *testing.F) {
	f.Add([]byte(start+"\x00\x00"+fields), []byte(answer+"\x00\x00123456"), []byte(answer+"\x00\x00654321"))
	f.Add([]byte(start+"\x00\x00"+fields), []byte(answer+"\x01\x00"), []byte("x"))
	f.Add([]byte("x"), []byte("y"), []byte("z"))
	f.Fuzz(func(t *testing.T, one, two, three []byte) {
		c, module := open(t)
		for _, frame := range [][]byte{one, two, three} {
			if len(frame) > 0 && len(frame) < 1<<14 {
				write(t, module, string(frame))
			}
		}
		module.Close()
		if _, err := c.Start(); err != nil {
			return
		}
		c.asked.Store(true)
		if err := c.Watch(); err == nil {
			t.Fatal("Watch has no reason")
		}
		if len(c.answers) > 1 {
			t.Fatal("two answers to one prompt")
		}
	})
}
