import type { Acceleration, NetDevice, UplinkState, XdpMode } from '../../types/device.ts'
import type { Attachments, Wanted } from './attachments.ts'
import type { Hook } from './hook.ts'
import { describeError } from '../../lib/errors.ts'
import { BpfError, Errno } from '../../../native/index.ts'
import { DatapathError } from './checks.ts'
import { xdpPoint } from './hook.ts'

/** What there is to know of a device that programs go on. */
export type UplinkDevice = Pick<NetDevice, 'name' | 'kind' | 'hidesTags'>

const FROM = 'weft_from_netdev'
const TO = 'weft_to_netdev'
const XDP = 'weft_xdp_uplink'

/** A veth leaves a frame lying that XDP returns to it: a program that returns frames directly is not for it. */
const LATE_VETH = 'a veth among devices that were none when the agent started: restart the agent'

/** A frame of a VLAN would be taken for one of the device, and forwarded past the VLAN. */
const HIDDEN_TAGS = 'it has VLANs and takes their tags off before XDP sees a frame: ethtool -K DEVICE rxvlan off'

/** The programs of the devices that face other nodes and clients. */
export class UplinkHooks {
  readonly #attachments: Attachments
  readonly #acceleration: Acceleration
  readonly #returnsFrames: boolean

  /** `returnsFrames`: the program at XDP gives a frame back to the device that it came by, and does not redirect it there. */
  constructor(attachments: Attachments, acceleration: Acceleration, returnsFrames: boolean) {
    this.#attachments = attachments
    this.#acceleration = acceleration
    this.#returnsFrames = returnsFrames
  }

  /**
   * What a start attaches, together with everything else: all or nothing, and then `settle`. Where XDP is demanded, a device that refuses it ends
   * the start with DatapathError `xdp-refused`; under `best-effort` it goes on at tc, and the state says why.
   */
  wanted(devices: readonly UplinkDevice[], states: UplinkState[]): Wanted[] {
    const demanded = this.#acceleration !== 'best-effort'
    this.#forget(forXdp(devices), true)
    return devices.flatMap(({ name, hidesTags }) =>
      this.#wantedOf(name, states, demanded, hidesTags ? HIDDEN_TAGS : undefined),
    )
  }

  /** Ends what other devices still run. */
  settle(devices: readonly string[]): void {
    this.#forget(devices, false)
  }

  /** Makes exactly these devices run the programs. A device that gives trouble says so in its state; the others go on. */
  set(devices: readonly UplinkDevice[]): UplinkState[] {
    const states: UplinkState[] = []
    const names = devices.map(({ name }) => name)
    this.#forget(forXdp(devices), true)
    this.#forget(names, false)
    for (const { name: device, kind, hidesTags } of devices) {
      const late = this.#returnsFrames && kind === 'veth' ? LATE_VETH : undefined
      try {
        const wanted = this.#wantedOf(device, states, false, hidesTags ? HIDDEN_TAGS : late)
        this.#attachments.attach(wanted.filter(({ program, hook }) => !this.#attachments.holds(program, hook)))
      } catch (error) {
        const failed = { device, xdp: undefined, reason: undefined, error: describeError(error) }
        const at = states.findIndex((state) => state.device === device)
        if (at < 0) states.push(failed)
        else states[at] = failed
      }
    }
    return states
  }

  /**
   * A device can have one program at XDP, in one mode: what is not wanted goes before anything new comes. tc forwards meanwhile,
   * and where its own programs are no longer wanted they go last.
   */
  #forget(devices: readonly string[], xdp: boolean): void {
    const wanted = new Set(devices)
    const mode = this.#mode()
    const point = mode === undefined ? undefined : xdpPoint(mode)
    for (const { pin, program, place } of this.#attachments.places()) {
      if (xdp ? program !== XDP : program !== FROM && program !== TO) continue
      if (!wanted.has(place.device) || (xdp && place.point !== point)) this.#attachments.forget(pin)
    }
  }

  #wantedOf(device: string, states: UplinkState[], demanded: boolean, veto: string | undefined): Wanted[] {
    const tc: Wanted[] = [
      { program: FROM, hook: { kind: 'tc', device, direction: 'ingress' } },
      { program: TO, hook: { kind: 'tc', device, direction: 'egress' } },
    ]
    const mode = this.#mode()
    const reason = mode === undefined ? undefined : veto?.replace('DEVICE', device)
    if (demanded && reason !== undefined) throw refusal(device, reason)
    const at = states.push({ device, xdp: reason === undefined ? mode : undefined, reason, error: undefined }) - 1
    if (mode === undefined || reason !== undefined) return tc
    const hook: Hook = { kind: 'xdp', device, mode }
    const onRefused = (error: BpfError): void => {
      const reason = reasonOf(error, mode)
      if (demanded) throw refusal(device, reason, error)
      states[at] = { device, xdp: undefined, reason, error: undefined }
    }
    // XDP last: where tc does not go, it does not either.
    return [...tc, { program: XDP, hook, onRefused }]
  }

  #mode(): XdpMode | undefined {
    if (this.#acceleration === 'disabled') return undefined
    return this.#acceleration === 'generic' ? 'generic' : 'native'
  }
}

function reasonOf(error: BpfError, mode: XdpMode): string {
  switch (error.errno) {
    case Errno.EOPNOTSUPP:
    case Errno.ENOTSUPP:
      return `its driver has no ${mode} XDP`
    case Errno.EBUSY:
    case Errno.EEXIST:
      return 'another XDP program is attached to it'
    case Errno.ERANGE:
    case Errno.EINVAL:
      return 'its driver refuses XDP: its MTU is probably too large'
    default:
      return error.message
  }
}

const forXdp = (devices: readonly UplinkDevice[]): string[] =>
  devices.flatMap(({ name, hidesTags }) => (hidesTags ? [] : [name]))

function refusal(device: string, reason: string, cause?: BpfError): DatapathError {
  return new DatapathError('xdp-refused', `XDP cannot be attached to ${device}: ${reason}`, {
    hint: 'set loadBalancer.acceleration to best-effort, which falls back to tc for this device, or to disabled',
    cause,
  })
}
