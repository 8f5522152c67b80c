import { expect, test } from 'vitest'
import { PodHookTarget } from '../../../agent/targets/pod-hooks.ts'
import type { EndpointEntry } from '../../../agent/types/datapath.ts'
import { parseAddress } from '../../../agent/types/address.ts'

const entry = (address: string): EndpointEntry => ({ address: parseAddress(address)!, identity: 70_000, isHost: false })
const pod = (address: string): [string, EndpointEntry] => [address, entry(address)]

/** A node that routes pods to devices, and devices that run the program or not. */
function node(routes: Record<string, string>): {
  hooked: Set<string>
  routes: Map<string, string>
  target: PodHookTarget
} {
  const hooked = new Set<string>()
  const table = new Map(Object.entries(routes))
  const hooks = {
    podDevices: () => hooked,
    setPodDevices: (devices: readonly string[]) => {
      hooked.clear()
      for (const device of devices) hooked.add(device)
    },
  }
  return { hooked, routes: table, target: new PodHookTarget(hooks, () => Promise.resolve(table)) }
}

test('the device that a pod is routed to gets the program; pods behind one device share it', async () => {
  const { hooked, target } = node({ '10.0.0.5': 'lxc1', '10.0.0.6': 'lxc1', '10.0.0.7': 'lxc2', '10.0.0.9': 'lxc3' })
  expect((await target.set([pod('10.0.0.5'), pod('10.0.0.6'), pod('10.0.0.7')])).size).toBe(0)
  expect([...hooked]).toEqual(['lxc1', 'lxc2'])
  await target.delete(['10.0.0.5', '10.0.0.7'])
  expect([...hooked]).toEqual(['lxc1'])
  await target.delete(['10.0.0.6', 'never-there'])
  expect([...hooked]).toEqual([])
})

test('a pod that is not wired yet fails alone and works when it is', async () => {
  const { hooked, routes, target } = node({ '10.0.0.5': 'lxc1' })
  const failures = await target.set([pod('10.0.0.5'), pod('10.0.0.6')])
  expect([...failures.keys()]).toEqual(['10.0.0.6'])
  expect(failures.get('10.0.0.6')).toMatchObject({ code: 'pod-not-wired' })
  expect([...hooked]).toEqual(['lxc1'])
  routes.set('10.0.0.6', 'lxc2')
  expect((await target.set([pod('10.0.0.6')])).size).toBe(0)
  expect([...hooked]).toEqual(['lxc1', 'lxc2'])
})

test('a load shows who has lost the program, and the next set mends it', async () => {
  const { hooked, target } = node({ '10.0.0.5': 'lxc1', '10.0.0.6': 'lxc2' })
  await target.set([pod('10.0.0.5'), pod('10.0.0.6')])
  hooked.delete('lxc2')
  expect([...(await target.load()).keys()]).toEqual(['10.0.0.5'])
  await target.set([pod('10.0.0.6')])
  expect([...(await target.load()).keys()]).toEqual(['10.0.0.5', '10.0.0.6'])
})
