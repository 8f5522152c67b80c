import type { Failures, Target } from '../reconcile/target.ts'
import type { EndpointEntry } from '../types/datapath.ts'
import { WeftError } from '../lib/errors.ts'

/** What carries the pods' program; `Datapath` does. */
export interface PodHooks {
  /** Devices that run it now, read from the kernel. */
  podDevices(): ReadonlySet<string>
  /** Makes exactly these devices run it. */
  setPodDevices(devices: readonly string[]): void
}

/** Device by printed pod address, as the node routes it now. */
export type DeviceLookup = () => Promise<ReadonlyMap<string, string>>

/**
 * The pods' program on the node's side of each pod's veth. Keys are printed pod addresses: which device leads to one is the
 * routing table's to say, since whoever wired the pod names the device. A pod that is not wired yet fails and is tried again.
 */
export class PodHookTarget implements Target<EndpointEntry> {
  readonly name = 'pod-hooks'
  readonly #hooks: PodHooks
  readonly #deviceOf: DeviceLookup
  /** Pods that are to have the program. A device is let go of once no such pod is behind it. */
  readonly #wanted = new Map<string, EndpointEntry>()

  constructor(hooks: PodHooks, deviceOf: DeviceLookup) {
    this.#hooks = hooks
    this.#deviceOf = deviceOf
  }

  async load(): Promise<ReadonlyMap<string, EndpointEntry>> {
    const devices = await this.#deviceOf()
    const hooked = this.#hooks.podDevices()
    const there = [...this.#wanted].filter(([pod]) => hooked.has(devices.get(pod) ?? ''))
    return new Map(there)
  }

  async set(batch: readonly (readonly [key: string, value: EndpointEntry])[]): Promise<Failures> {
    for (const [pod, entry] of batch) this.#wanted.set(pod, entry)
    const devices = await this.#apply()
    const missing = batch.filter(([pod]) => !devices.has(pod))
    return new Map(missing.map(([pod]) => [pod, noDevice(pod)]))
  }

  async delete(keys: readonly string[]): Promise<Failures> {
    for (const pod of keys) this.#wanted.delete(pod)
    await this.#apply()
    return new Map()
  }

  /** The device decides, not what is behind it. */
  equals(): boolean {
    return true
  }

  async #apply(): Promise<ReadonlyMap<string, string>> {
    const devices = await this.#deviceOf()
    const wanted = [...this.#wanted.keys()].flatMap((pod) => devices.get(pod) ?? [])
    this.#hooks.setPodDevices([...new Set(wanted)].sort())
    return devices
  }
}

function noDevice(pod: string): WeftError {
  return new WeftError('pod-not-wired', `no device of this node leads to the pod ${pod}`, {
    hint: 'its network is not set up yet, or the node has no host route to it: see `ip route get`',
  })
}
