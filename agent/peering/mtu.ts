import { readFileSync } from 'node:fs'

/** MTU of the device towards other nodes: the one named, else that of the default route. Undefined when nobody knows. */
export function uplinkMtu(
  device: string | undefined,
  read: (path: string) => string = (path) => readFileSync(path, 'utf8'),
): number | undefined {
  try {
    const name = device ?? defaultDevice(read('/proc/net/route'))
    if (name === undefined) return undefined
    const mtu = Number(read(`/sys/class/net/${name}/mtu`).trim())
    return Number.isInteger(mtu) && mtu >= 576 && mtu <= 65_535 ? mtu : undefined
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

/** Columns of the kernel's table: device, destination and gateway in hex, …; the least metric wins. */
function defaultDevice(table: string): string | undefined {
  const routes = table
    .split('\n')
    .slice(1)
    .map((line) => line.split('\t'))
    .filter((fields) => fields[1] === '00000000' && fields[7] === '00000000')
  routes.sort((a, b) => Number(a[6]) - Number(b[6]))
  return routes[0]?.[0]
}
