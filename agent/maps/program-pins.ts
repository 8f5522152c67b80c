/** Where on a device; XDP in one mode is another place than in the other. */
export interface DevicePlace {
  readonly device: string
  readonly point: 'ingress' | 'egress' | 'xdp' | 'xdpgeneric'
}

/** A program on a device, as the name of its pin tells. */
export interface ProgramPin {
  readonly program: string
  readonly place: DevicePlace
}

/** `connect4`, `from_netdev@eth0:ingress`. A device name has no slash and no colon; bpffs refuses dots. */
export function pinName(program: string, place?: DevicePlace): string {
  const short = program.replace(/^weft_/, '')
  if (place === undefined) return short
  return `${short}@${place.device.replaceAll('%', '%25').replaceAll('.', '%2e')}:${place.point}`
}

/** What a pin's name says; undefined for pins of programs that are attached to no device. */
export function parsePin(name: string): ProgramPin | undefined {
  const [, short, device, point] = /^(\w+)@(.+):(ingress|egress|xdp|xdpgeneric)$/.exec(name) ?? []
  if (short === undefined || device === undefined) return undefined
  return {
    program: `weft_${short}`,
    place: { device: decodeURIComponent(device), point: point as DevicePlace['point'] },
  }
}
