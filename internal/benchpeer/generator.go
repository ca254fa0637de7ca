package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
)

// generator is the process that makes the load. Its CPU time is apart from what
// the rest of the tool needs.
type generator struct {
	process *process
	in      io.WriteCloser
	enc     *json.Encoder
	dec     *json.Decoder
	err     *strings.Builder
}

// asLoad is the argument that makes this program the other process.
const asLoad = "as-load-generator"

func startGenerator(ctx context.Context) (*generator, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	g := &generator{err: &strings.Builder{}}
	cmd := exec.CommandContext(ctx, self, asLoad)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	cmd.Stderr = g.err
	if g.in, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start load generator: %w", err)
	}
	g.process = &process{name: "load generator", cmd: cmd}
	g.enc, g.dec = json.NewEncoder(g.in), json.NewDecoder(out)
	return g, nil
}

// run has the generator do a job.
func (g *generator) run(j job) (o outcome, err error) {
	if err = g.enc.Encode(j); err == nil {
		err = g.dec.Decode(&o)
	}
	if err != nil {
		g.stop() // or what it has written may not be here yet
		return o, fmt.Errorf("load generator: %w %s", err, g.err)
	}
	return o, nil
}

// stop ends it: it has read its last job.
func (g *generator) stop() {
	g.in.Close()
	g.process.cmd.Wait()
}

// generate is the main loop of the other process.
func generate(in io.Reader, out io.Writer) error {
	dec, enc := json.NewDecoder(in), json.NewEncoder(out)
	for {
		var j job
		if err := dec.Decode(&j); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		o, err := load(j)
		if err != nil {
			return err
		}
		if err := enc.Encode(o); err != nil {
			return err
		}
	}
}
