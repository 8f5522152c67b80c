import { MAPS, PortsVal } from './layout.gen.ts'

/** Ports of the node that flows have had, noted by programs. */
export const PORTS_MAP = MAPS.w_ports_v1

/** For flows of which nobody noted anything: any port may have had one. The address in it is no node's, so programs leave it so. */
export function unknownPorts(): Buffer {
  return Buffer.alloc(PortsVal.size, 0xff)
}
