import { randomInt } from 'node:crypto'
import type { Config } from '../config.ts'
import type { NodePlace } from './node-place.ts'
import type { Address } from '../types/address.ts'
import type { NetDevice } from '../types/device.ts'
import type { Problem } from '../types/problem.ts'
import { parseMaglevSeed } from '../desired/maglev.ts'
import { DEFAULT_MAGLEV_SEED } from '../types/maglev.ts'
import { PURGE_MAP, purgeElements } from '../maps/purge.ts'
import { Datapath } from '../targets/programs.ts'
import { maskAddress, parseCidr } from '../types/address.ts'

export function openDatapath(config: Config, place: NodePlace, devices: readonly NetDevice[]): Promise<Datapath> {
  const { services, slots, backends, flowsTcp, flowsSyn, flowsAny, ipcache } = config.mapSizes
  const [first, last] = config.nodePortRange
  return Datapath.open({
    objectsDir: config.bpfObjects,
    bpfRoot: config.bpfRoot,
    cgroupRoot: config.cgroupRoot,
    uplink: place.uplink,
    devices,
    acceleration: config.loadBalancer.acceleration,
    xdpTx: devices.every(({ kind }) => kind !== 'veth'),
    nodePorts: { first, last },
    sockets: config.socketLB.enabled,
    mapSizes: {
      w_svc4_v1: services,
      w_rnat4_v1: services,
      w_slot_v1: slots,
      w_be4_v1: backends,
      w_flow4t_v1: flowsTcp,
      w_flow4s_v1: flowsSyn,
      w_flow4a_v1: flowsAny,
      w_ipc_v1: ipcache,
      [PURGE_MAP.name]: purgeElements(Math.max(services, backends)),
    },
    rodata: {
      cfg_snat_addr: networkOrder(place.address),
      // Where the search for a free port starts must not be guessable from outside (RFC 6056).
      cfg_snat_secret: randomInt(2 ** 32),
      cfg_snat_port_min: last + 1,
      cfg_no_backend_reject: config.serviceNoBackendResponse === 'reject',
      ...masqueradeVariables(config),
      cfg_sock_host_only: config.socketLB.hostNamespaceOnly,
      cfg_dsr_info_always: config.loadBalancer.dsrInfo === 'always',
      cfg_trace: config.monitorTrace,
      cfg_maglev_seed: parseMaglevSeed(DEFAULT_MAGLEV_SEED).packet4,
    },
  })
}

function masqueradeVariables(config: Config): Record<string, boolean | number> {
  const native = config.ipv4NativeRoutingCIDR === undefined ? undefined : parseCidr(config.ipv4NativeRoutingCIDR)
  return {
    cfg_masquerade: config.bpf.masquerade,
    cfg_masq_list: config.bpf.masquerade && config.ipMasqAgent.enabled,
    ...(native === undefined
      ? {}
      : {
          cfg_native_net: networkOrder(native.address),
          cfg_native_mask: networkOrder(maskAddress(0xffffffff as Address, native.bits)),
        }),
  }
}

/** The value a little-endian program finds in a packet's address field. */
function networkOrder(address: number): number {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(address)
  return bytes.readUInt32LE()
}

/** Kernel settings that forwarding needs and that could not be made: forwarding goes on as far as it can. */
export function sysctlProblems(reports: Datapath['sysctls']): Problem[] {
  return reports.flatMap(({ name, value, before, error }) => {
    if (error === undefined) return []
    if (value === '') {
      const hint = 'choose a nodePortRange that leaves room for it'
      return { code: 'sysctl-refused', message: `${name} is ${before ?? 'unknown'}: ${error}`, hint }
    }
    return {
      code: 'sysctl-refused',
      message: `${name} is ${before ?? 'unknown'} and cannot be set to ${value}: ${error}`,
      hint: `set it where /proc/sys may be written: sysctl -w ${name}=${value}`,
    }
  })
}
