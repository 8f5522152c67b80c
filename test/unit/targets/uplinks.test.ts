import { describe, expect, test } from 'vitest'
import type { Attachments, Wanted } from '../../../agent/targets/datapath/attachments.ts'
import type { UplinkDevice } from '../../../agent/targets/datapath/uplinks.ts'
import { UplinkHooks } from '../../../agent/targets/datapath/uplinks.ts'
import { readNetDevices } from '../../../agent/targets/net-devices.ts'
import type { Acceleration, UplinkState } from '../../../agent/types/device.ts'

/** Attachments of a kernel that takes everything: what is where. */
class Everything {
  readonly at = new Map<string, Wanted>()

  attach(wanted: readonly Wanted[]): void {
    for (const each of wanted) this.at.set(this.#pin(each), each)
  }

  holds(): boolean {
    return false
  }

  forget(pin: string): void {
    this.at.delete(pin)
  }

  places(): object[] {
    return [...this.at].map(([pin, { program, hook }]) => {
      if (hook.kind === 'cgroup') throw new Error('not asked for')
      return {
        pin,
        program,
        place: { device: hook.device, point: hook.kind === 'xdp' ? `xdp-${hook.mode}` : hook.direction },
      }
    })
  }

  get xdp(): string[] {
    return [...this.at.keys()].filter((pin) => pin.startsWith('weft_xdp'))
  }

  #pin({ program, hook }: Wanted): string {
    return `${program}@${hook.kind === 'cgroup' ? hook.directory : hook.device}`
  }
}

function hooks(acceleration: Acceleration): { kernel: Everything; uplinks: UplinkHooks } {
  const kernel = new Everything()
  return { kernel, uplinks: new UplinkHooks(kernel as unknown as Attachments, acceleration, false) }
}

const device = (name: string, hidesTags = false): UplinkDevice => ({ name, kind: undefined, hidesTags })
const REASON = 'it has VLANs and takes their tags off before XDP sees a frame: ethtool -K eth1 rxvlan off'

describe('a device that takes VLAN tags off', () => {
  test('is served at tc, for as long as it does', () => {
    const { kernel, uplinks } = hooks('best-effort')
    const states: UplinkState[] = []
    kernel.attach(uplinks.wanted([device('eth0'), device('eth1', true)], states))
    expect(states.map(({ xdp, reason }) => [xdp, reason])).toEqual([
      ['native', undefined],
      [undefined, REASON],
    ])
    expect(kernel.xdp).toEqual(['weft_xdp_uplink@eth0'])
    uplinks.set([device('eth0'), device('eth1')])
    expect(kernel.xdp).toEqual(['weft_xdp_uplink@eth0', 'weft_xdp_uplink@eth1'])
    const [, eth1] = uplinks.set([device('eth0'), device('eth1', true)])
    expect(eth1).toEqual({ device: 'eth1', xdp: undefined, reason: REASON, error: undefined })
    expect([...kernel.at.keys()].filter((pin) => pin.endsWith('@eth1'))).toHaveLength(2)
  })

  test('ends a start that demands XDP, and no start that does not', () => {
    expect(() => hooks('native').uplinks.wanted([device('eth1', true)], [])).toThrow(`attached to eth1: ${REASON}`)
    const states: UplinkState[] = []
    hooks('disabled').uplinks.wanted([device('eth1', true)], states)
    expect(states).toEqual([{ device: 'eth1', xdp: undefined, reason: undefined, error: undefined }])
  })

  test('is known by its VLANs and by ethtool', async () => {
    const links = [
      { ifindex: 2, ifname: 'eth0', mtu: 1500 },
      { ifindex: 3, ifname: 'eth1', mtu: 1500 },
      { ifindex: 4, ifname: 'eth0.5', link: 'eth0', linkinfo: { info_kind: 'vlan' } },
      { ifindex: 5, ifname: 'eth1.5', link: 'eth1', linkinfo: { info_kind: 'vlan' } },
      { ifindex: 6, ifname: 'mac0', link: 'eth0', linkinfo: { info_kind: 'macvlan' } },
    ]
    const asked: string[] = []
    const devices = await readNetDevices(
      async (args) => ({ ok: true, stderr: '', stdout: args.includes('addr') ? JSON.stringify(links) : '' }),
      async (name) => {
        asked.push(name)
        return name === 'eth1'
      },
    )
    expect(asked).toEqual(['eth0', 'eth1'])
    expect(devices.filter(({ hidesTags }) => hidesTags).map(({ name }) => name)).toEqual(['eth1'])
  })
})
