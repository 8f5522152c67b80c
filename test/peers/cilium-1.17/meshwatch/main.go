// meshwatch is the half of a Cilium 1.17 agent that reads other clusters, without Kubernetes and without a datapath: it
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
	"github.com/sirupsen/logrus"

	"github.com/cilium/cilium/pkg/clustermesh"
	"github.com/cilium/cilium/pkg/clustermesh/common"
	mesh "github.com/cilium/cilium/pkg/clustermesh/types"
	"github.com/cilium/cilium/pkg/clustermesh/wait"
	"github.com/cilium/cilium/pkg/defaults"
	"github.com/cilium/cilium/pkg/identity/cache"
	"github.com/cilium/cilium/pkg/k8s/client/clientset/versioned/fake"
	"github.com/cilium/cilium/pkg/kvstore/store"
	"github.com/cilium/cilium/pkg/logging"
	"github.com/cilium/cilium/pkg/option"
)

// complaints makes a line of each warning and error: that is how Cilium says that it refused a record.
type complaints struct{ *lines }

func (complaints) Levels() []logrus.Level {
	return []logrus.Level{logrus.WarnLevel, logrus.ErrorLevel, logrus.FatalLevel, logrus.PanicLevel}
}

func (c complaints) Fire(entry *logrus.Entry) error {
	text, err := entry.String()
	if err == nil {
		c.write(line{What: "log", Value: text})
	}
	return err
}

func main() {
	config := flag.String("config", "", "directory with an etcd client configuration for each remote cluster")
	name := flag.String("name", "west", "name of the cluster that reads")
	id := flag.Uint("id", 1, "id of the cluster that reads")
	flag.Parse()

	out := newLines()
	for _, logger := range []*logrus.Logger{logrus.StandardLogger(), logging.DefaultLogger} {
		logger.SetOutput(os.Stderr)
		logger.AddHook(complaints{out})
	}
	self := mesh.ClusterInfo{ID: uint32(*id), Name: *name, MaxConnectedClusters: defaults.MaxConnectedClusters}
	if err := self.InitClusterIDMax(); err != nil {
		logrus.Fatal(err)
	}
	if err := self.ValidateStrict(); err != nil {
		logrus.Fatal(err)
	}

	// The kvstore and identity packages of 1.17 read these from the agent's global configuration.
	option.Config.ClusterID, option.Config.ClusterName = self.ID, self.Name
	option.Config.MaxConnectedClusters = self.MaxConnectedClusters
	option.Config.IdentityAllocationMode = option.IdentityAllocationModeCRD
	option.Config.KVstoreConnectivityTimeout = defaults.KVstoreConnectivityTimeout
	option.Config.KVstoreLeaseTTL = defaults.KVstoreLeaseTTL
	option.Config.KVstorePeriodicSync = defaults.KVstorePeriodicSync
	option.Config.KVstoreMaxConsecutiveQuorumErrors = defaults.KVstoreMaxConsecutiveQuorumErrors

	reader := agent{out}
	identities := cache.NewCachingIdentityAllocator(reader, cache.AllocatorConfig{})
	<-identities.InitIdentityAllocator(fake.NewSimpleClientset())
	defer identities.Close()

	var lifecycle cell.DefaultLifecycle
	clusters := clustermesh.NewClusterMesh(&lifecycle, clustermesh.Configuration{
		Config:                common.Config{ClusterMeshConfig: *config},
		TimeoutConfig:         wait.TimeoutConfigDefault,
		ClusterInfo:           self,
		ClusterIDsManager:     clustermesh.NewClusterMeshUsedIDs(self.ID),
		RemoteIdentityWatcher: identities,
		ServiceMerger:         reader,
		NodeObserver:          reader,
		IPCache:               reader,
		FeatureMetrics:        reader,
		Metrics:               clustermesh.NewMetrics(),
		CommonMetrics:         common.MetricsProvider("clustermesh")(),
		StoreFactory:          store.NewFactory(store.MetricsProvider()),
		Logger:                logrus.StandardLogger(),
	})
	if clusters == nil {
		logrus.Fatal("-config and -id must be given")
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	if err := lifecycle.Start(log, context.Background()); err != nil {
		logrus.Fatal(err)
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
