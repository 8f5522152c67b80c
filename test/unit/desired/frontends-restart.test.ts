import { describe, expect, test } from 'vitest'
import type { SlotBackend } from '../../../agent/types/frontend.ts'
import type { Service } from '../../../agent/types/service.ts'
import { desiredFrontends } from '../../../agent/desired/frontends.ts'
import { formatAddress } from '../../../agent/types/address.ts'
import { WEBPOD, backendSet, cluster, endpoint, ip, service, world } from './fixture.ts'

const addresses = (slots: readonly SlotBackend[]): string[] => slots.map((slot) => formatAddress(slot.address))

describe('after a restart', () => {
  const slot = (address: string, clusterId: number, state: SlotBackend['state'] = 'active'): SlotBackend => ({
    address: ip(address),
    port: 8080,
    protocol: 6,
    state,
    clusterId,
    weight: 100,
  })
  const found = [slot('10.0.0.46', 1), slot('10.1.0.190', 2), slot('10.4.0.1', 3)]

  function restarted(unsynced: readonly string[], fields: Partial<Service> = {}): string[] {
    const made = world()
    for (const source of unsynced) {
      made.sync.unregister(source)
      made.sync.register(source)
    }
    made.writer.upsertService(service(fields))
    made.restored.set('10.2.47.149:80/TCP', found)
    const { group } = desiredFrontends(made.snap, WEBPOD).frontends[0]!
    return addresses(group.slots.slice(0, group.count))
  }

  test('backends of clusters that have not spoken yet are used on', () => {
    expect(restarted(['local', 'mesh/east', 'mesh/north'])).toEqual(['10.0.0.46', '10.1.0.190', '10.4.0.1'])
    expect(restarted(['mesh/east'])).toEqual(['10.1.0.190'])
    expect(restarted([])).toEqual([])
  })

  test('a service that is not global waits for nobody else', () => {
    expect(restarted(['mesh/east'], { mesh: { global: false, shared: false, affinity: 'none' } })).toEqual([])
  })

  test('what a source shows counts, not what was found', () => {
    const { snap, writer, restored, sync } = world()
    sync.unregister('mesh/east')
    sync.register('mesh/east')
    writer.upsertService(service())
    writer.upsertBackends(backendSet('east', [endpoint('10.1.0.190', 'not-ready')]))
    restored.set('10.2.47.149:80/TCP', [slot('10.1.0.190', 2)])
    const { group } = desiredFrontends(snap, WEBPOD).frontends[0]!
    expect([group.count, group.decisions.map((each) => each.reason)]).toEqual([0, ['not-ready']])
  })

  test('a cluster whose id is not known yet may still be the one', () => {
    const { snap, writer, restored, sync } = world()
    sync.unregister('mesh/east')
    sync.register('mesh/east')
    writer.upsertCluster(cluster('east', 0))
    writer.upsertService(service())
    restored.set('10.2.47.149:80/TCP', [slot('10.1.0.190', 2)])
    expect(desiredFrontends(snap, WEBPOD).frontends[0]!.group).toMatchObject({ count: 1, slots: [{ clusterId: 2 }] })
  })

  test('a cluster that was silent since the restart is avoided, though it never said its id', () => {
    const { snap, writer, restored, sync } = world()
    writer.upsertService(service())
    writer.upsertBackends(backendSet('west', [endpoint('10.0.0.46')]))
    restored.set('10.2.47.149:80/TCP', [slot('10.1.0.190', 2)])
    const selected = (): string[] => {
      const { slots, count } = desiredFrontends(snap, WEBPOD).frontends[0]!.group
      return addresses(slots.slice(0, count))
    }
    for (const name of ['east', 'north']) {
      sync.unregister(`mesh/${name}`)
      sync.register(`mesh/${name}`)
      writer.upsertCluster(cluster(name, 0))
    }
    writer.upsertCluster(cluster('east', 0, { unreachable: true }))
    expect(selected(), 'it may be one of north').toEqual(['10.0.0.46', '10.1.0.190'])
    writer.upsertCluster(cluster('north', 3))
    expect(selected(), 'north has another id').toEqual(['10.0.0.46'])
    writer.upsertCluster(cluster('north', 0, { unreachable: true }))
    expect(selected(), 'whosever it is, it is silent').toEqual(['10.0.0.46'])
    writer.deleteBackends(`west/${WEBPOD}/slice`)
    expect(selected(), 'the last one is kept').toEqual(['10.1.0.190'])
  })
})
