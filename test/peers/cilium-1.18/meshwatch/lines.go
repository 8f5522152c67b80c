package main

import (
	"encoding/json"
	"os"
	"sync"
)

// line is what a reader of stdout gets for everything Cilium accepted, refused or says about its connections.
type line struct {
	// service, node, ip, identity: what was decoded; log: a complaint; status: how the connections are.
	What string `json:"what"`
	// set or delete; empty for log and status.
	Op    string `json:"op,omitempty"`
	Key   string `json:"key,omitempty"`
	Value any    `json:"value,omitempty"`
}

// lines writes one JSON object a line; callers are many goroutines.
type lines struct {
	mu  sync.Mutex
	out *json.Encoder
}

func newLines() *lines { return &lines{out: json.NewEncoder(os.Stdout)} }

// A reader that is gone ends the program: nobody is left to write for.
func (l *lines) write(entry line) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.out.Encode(entry) != nil {
		os.Exit(1)
	}
}
