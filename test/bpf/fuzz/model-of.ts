import type { Address, Cidr } from '../../../agent/types/address.ts'
import { parseCidr } from '../../../agent/types/address.ts'
import { address } from '../packet.ts'
import type { BackendSpec, DatapathMaps, ServiceSpec } from '../maps.ts'
import { type DeviceName, newState, serviceName, type State } from './model/state.ts'
import { settingsOf } from './profiles.ts'
import type { Scene } from './scene.ts'

/** A scene as the programs know it. */
export function writeScene(scene: Scene, maps: DatapathMaps): void {
  maps.clear()
  scene.backends.forEach((backend) => maps.addBackend(backend))
  scene.services.forEach((service) => maps.addService(service))
  scene.pods.forEach((pod) => maps.addEndpoint(pod))
  scene.ownAddresses.forEach((own) => maps.addEndpoint(own, true))
  scene.ranges.forEach(({ serviceId, range }) => maps.addSourceRange(serviceId, range))
  scene.prefixes.forEach((prefix) => maps.addPrefix(prefix))
  scene.unmasqueraded.forEach((range) => maps.addUnmasqueraded(range))
  scene.devices.forEach((device) => maps.addDevice(device))
}

/** The same as the model knows it. */
export function modelOf(scene: Scene): State {
  const state = newState(settingsOf(scene.profile))
  scene.backends.forEach((backend) => modelBackend(state, backend))
  scene.services.forEach((service) => modelService(state, service))
  scene.pods.forEach((pod) => state.endpoints.set(address(pod), 'pod'))
  scene.ownAddresses.forEach((own) => state.endpoints.set(address(own), 'node'))
  for (const { serviceId, range } of scene.ranges) state.ranges.push({ serviceId, range: cidr(range) })
  for (const { prefix, tunnel, isNode = false, takesDsr = false, identity = 6 } of scene.prefixes) {
    const by = tunnel === undefined ? undefined : address(tunnel)
    state.prefixes.push({ range: cidr(prefix), identity, tunnel: by, isNode, takesDsr })
  }
  state.unmasqueraded.push(...scene.unmasqueraded.map(cidr))
  for (const { name, address: own, several = false, xdp = false } of scene.devices) {
    if (name === 'all') [state.mainAddress, state.severalUplinks] = [address(own), several]
    else if (name === 'sole') state.mainAddress = address(own)
    else state.devices.set(name as DeviceName, { address: own === '0.0.0.0' ? (0 as Address) : address(own), xdp })
  }
  return state
}

export function modelBackend(state: State, spec: BackendSpec): void {
  const { id, port = 8080 } = spec
  state.backends.set(id, { address: address(spec.address), port, active: (spec.state ?? 'ACTIVE') === 'ACTIVE' })
}

export function modelService(state: State, spec: ServiceSpec): void {
  const { id, port = 80, protocol = 6, flags = [], backends, maglev, affinitySeconds = 0, forward, scope } = spec
  const dsr = forward === 'DSR'
  const service = { id, flags: new Set<string>(flags), backends, maglev, affinitySeconds, dsr }
  state.services.set(
    serviceName(address(spec.address), port, protocol, scope === 'INT' ? 'inside' : 'outside'),
    service,
  )
}

function cidr(text: string): Cidr {
  const parsed = parseCidr(text)
  if (parsed === undefined) throw new Error(`not a range: ${text}`)
  return parsed
}
