import { targetCompliance } from '../compliance/target.ts'
import { systemClock } from '../../agent/lib/clock.ts'
import { silentLog } from '../../agent/lib/log.ts'
import { EtcdExportTarget } from '../../agent/targets/etcd/export.ts'
import { LeasedStore } from '../../agent/targets/etcd/leased-store.ts'
import { EtcdProcess } from './etcd.ts'

targetCompliance(
  'etcd',
  async () => {
    const etcd = await EtcdProcess.start()
    const stores: LeasedStore[] = []
    const open = (): EtcdExportTarget => {
      const store = new LeasedStore({ endpoint: { endpoints: [etcd.url] }, clock: systemClock, log: silentLog })
      stores.push(store)
      return new EtcdExportTarget(store, 'east')
    }
    await etcd.put('cilium/state/nodes/v1/west/not-ours', 'west')
    await etcd.put('cilium/cluster-config/east', '{}')
    return {
      target: open(),
      sample: (n) => [`cilium/state/services/v1/east/default/service-${n}`, { text: `text ${n}` }],
      changed: (n) => ({ text: `changed ${n}` }),
      reopen: open,
      async close() {
        for (const store of stores) await store.close()
        await etcd[Symbol.asyncDispose]()
      },
    }
  },
  { limit: false },
)
