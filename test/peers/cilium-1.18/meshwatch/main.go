// meshwatch is the half of a Cilium 1.18 agent that reads other clusters, without Kubernetes and without a datapath: it
// connects to each cluster that has a file in -config and writes what Cilium makes of its records as JSON lines. It ends when
// its stdin is closed, so that it cannot outlive the test that started it.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/cilium/hive/cell"

	"github.com/cilium/cilium/pkg/clustermesh"
	"github.com/cilium/cilium/pkg/clustermesh/common"
	mesh "github.com/cilium/cilium/pkg/clustermesh/types"
	"github.com/cilium/cilium/pkg/clustermesh/wait"
	"github.com/cilium/cilium/pkg/defaults"
	"github.com/cilium/cilium/pkg/identity/cache"
	"github.com/cilium/cilium/pkg/k8s/client/clientset/versioned/fake"
	"github.com/cilium/cilium/pkg/kvstore"
	"github.com/cilium/cilium/pkg/kvstore/store"
	"github.com/cilium/cilium/pkg/option"
)

// complaints makes a line of each warning and error: that is how Cilium says that it refused a record. The handler writes a
// text of the record, which becomes the value of the line.
type complaints struct{ *lines }

func (c complaints) Write(text []byte) (int, error) {
	c.write(line{What: "log", Value: string(text)})
	return len(text), nil
}

func main() {
	config := flag.String("config", "", "directory with an etcd client configuration for each remote cluster")
	name := flag.String("name", "west", "name of the cluster that reads")
	id := flag.Uint("id", 1, "id of the cluster that reads")
	flag.Parse()

	out := newLines()
	log := slog.New(slog.NewTextHandler(complaints{out}, &slog.HandlerOptions{Level: slog.LevelWarn}))
	fatal := func(reason string) {
		log.Error(reason)
		os.Exit(1)
	}
	self := mesh.ClusterInfo{ID: uint32(*id), Name: *name, MaxConnectedClusters: defaults.MaxConnectedClusters}
	if err := self.InitClusterIDMax(); err != nil {
		fatal(err.Error())
	}
	if err := self.ValidateStrict(); err != nil {
		fatal(err.Error())
	}

	// The identity package of 1.18 still reads these from the agent's global configuration.
	option.Config.ClusterID, option.Config.ClusterName = self.ID, self.Name
	option.Config.MaxConnectedClusters = self.MaxConnectedClusters
	option.Config.IdentityAllocationMode = option.IdentityAllocationModeCRD

	reader := agent{out}
	identities := cache.NewCachingIdentityAllocator(log, reader, cache.AllocatorConfig{
		Timeout:      5 * time.Second,
		SyncInterval: time.Hour,
	})
	<-identities.InitIdentityAllocator(fake.NewSimpleClientset(), nil)
	defer identities.Close()

	var lifecycle cell.DefaultLifecycle
	clusters := clustermesh.NewClusterMesh(&lifecycle, clustermesh.Configuration{
		Config:        common.Config{ClusterMeshConfig: *config},
		TimeoutConfig: wait.TimeoutConfigDefault,
		ClusterInfo:   self,
		RemoteClientFactory: common.DefaultRemoteClientFactory(kvstore.Config{
			KVStoreLeaseTTL:                   defaults.KVstoreLeaseTTL,
			KVstoreMaxConsecutiveQuorumErrors: defaults.KVstoreMaxConsecutiveQuorumErrors,
		}),
		ClusterIDsManager:     clustermesh.NewClusterMeshUsedIDs(self.ID),
		RemoteIdentityWatcher: identities,
		ServiceMerger:         reader,
		NodeObserver:          reader,
		IPCache:               reader,
		FeatureMetrics:        reader,
		Metrics:               clustermesh.NewMetrics(),
		CommonMetrics:         common.MetricsProvider("clustermesh")(),
		StoreFactory:          store.NewFactory(log, store.MetricsProvider()),
		Logger:                log,
	})
	if clusters == nil {
		fatal("-config and -id must be given")
	}
	if err := lifecycle.Start(log, context.Background()); err != nil {
		fatal(err.Error())
	}

	closed := make(chan struct{})
	go func() {
		defer close(closed)
		_, _ = io.Copy(io.Discard, os.Stdin)
	}()
	var last []byte
	for tick := time.NewTicker(100 * time.Millisecond); ; {
		select {
		case <-tick.C:
			status := clusters.Status()
			if now, err := json.Marshal(status); err == nil && !bytes.Equal(now, last) {
				last = now
				out.write(line{What: "status", Value: status})
			}
		case <-closed:
			_ = lifecycle.Stop(log, context.Background())
			return
		}
	}
}
