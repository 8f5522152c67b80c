import { afterEach, beforeEach, expect, test } from 'vitest'
import { silentLog } from '../../agent/lib/log.ts'
import { Announcer } from '../../agent/targets/etcd/announcer.ts'
import { LeasedStore } from '../../agent/targets/etcd/leased-store.ts'
import { HEARTBEAT_KEY } from '../../agent/types/wire/keys.ts'
import { eventually } from '../eventually.ts'
import { EtcdProcess } from '../net/etcd.ts'
import { SteppedClock } from '../stepped-clock.ts'

/** Cilium's importers drop a connection on which they saw no heartbeat for two of these. */
const CILIUM_INTERVAL_MS = 60_000

class ObservedClock extends SteppedClock {
  readonly waits: number[] = []

  override after(ms: number, fn: () => void): () => void {
    this.waits.push(ms)
    return super.after(ms, fn)
  }
}

let etcd: EtcdProcess

beforeEach(async () => {
  etcd = await EtcdProcess.start()
})

afterEach(() => etcd[Symbol.asyncDispose]())

test("the heartbeat is written at start, and again within the time Cilium's importers count in", async () => {
  const clock = new ObservedClock()
  const endpoint = { endpoints: [etcd.url] }
  const store = new LeasedStore({ endpoint, clock, log: silentLog })
  const config = {
    id: 2,
    syncedCanaries: true,
    cached: false,
    maxConnectedClusters: 255,
    serviceExportsEnabled: false,
  }
  const announcer = new Announcer({ store, endpoint, cluster: 'east', config, clock, random: () => 0, log: silentLog })
  announcer.start()
  try {
    for (const minute of ['00', '01', '02', '03']) {
      await eventually(async () => {
        expect(await etcd.client.get(HEARTBEAT_KEY).string()).toBe(`1970-01-01T00:${minute}:00Z`)
      })
      const beats = Number(minute) + 1
      await eventually(() => clock.waits.filter((ms) => ms === CILIUM_INTERVAL_MS).length >= beats)
      clock.step(CILIUM_INTERVAL_MS)
    }
  } finally {
    await announcer.stop()
    await store.close()
  }
})
