import { describe, expect, test } from 'vitest'
import { CONFIG_MAP, configMapData, FIXED } from '../../../agent/cli/config-map.ts'
import { AGENT_SETTINGS, loadConfig } from '../../../agent/config.ts'

const settings = AGENT_SETTINGS.filter(({ key }) => key !== 'config')
const given = (flags: Record<string, string>): Record<string, string> => {
  const readFile = (): string => ''
  return Object.fromEntries(configMapData(loadConfig({ flags, env: {}, readFile }).values))
}

describe('settings by the keys of a ConfigMap', () => {
  test('every setting is there, and each key is of one setting', () => {
    expect(Object.keys(CONFIG_MAP).sort()).toEqual(settings.map(({ key }) => key).sort())
    const keys = Object.values(CONFIG_MAP).flatMap((entries) =>
      entries.map((entry) => (typeof entry === 'string' ? entry : entry[0])),
    )
    const all = [...keys, ...Object.keys(FIXED)]
    expect(all.filter((key, index) => all.indexOf(key) !== index)).toEqual([])
    expect(all.filter((key) => !/^[a-z0-9]+(-[a-z0-9]+)*$/.test(key))).toEqual([])
  })

  test('what Cilium has no key for is named as its flag is', () => {
    const own = ['nodeName', 'manifests', 'bpfObjects', 'unreachableAfter', 'auditInterval', 'mapSizes.slots']
    const groups = settings.map(({ key }) => key).filter((key) => /^(probes|ipMasqAgent\.config)\./.test(key))
    for (const key of [...own, ...groups, 'loadBalancer.dsrInfo', 'mapSizes.flowsSyn', 'mapSizes.ipcache']) {
      const flag = settings.find((setting) => setting.key === key)?.flag.split(' ')[0]
      expect((CONFIG_MAP as Record<string, readonly unknown[]>)[key]).toEqual([flag?.slice(2)])
    }
  })

  test('what the guides look for', () => {
    const data = given({
      'cluster-name': 'west',
      'cluster-id': '1',
      'bpf-masquerade': 'true',
      'ip-masq-agent-enabled': 'true',
      'load-balancer-mode': 'dsr',
      'load-balancer-algorithm': 'maglev',
      'ipv4-native-routing-cidr': '10.0.0.0/16',
      devices: 'eth0,bond+',
    })
    expect(data).toMatchObject({
      'auto-direct-node-routes': 'true',
      'bpf-lb-acceleration': 'disabled',
      'bpf-lb-algorithm': 'maglev',
      'bpf-lb-dsr-dispatch': 'geneve',
      'bpf-lb-maglev-table-size': '16381',
      'bpf-lb-mode': 'dsr',
      'cluster-id': '1',
      'cluster-name': 'west',
      debug: 'false',
      devices: 'eth0,bond+',
      'enable-bgp-control-plane': 'false',
      'enable-bpf-masquerade': 'true',
      'enable-ip-masq-agent': 'true',
      'enable-ipv4-masquerade': 'true',
      'ipv4-native-routing-cidr': '10.0.0.0/16',
      'ipv4-node': '',
      'node-port-range': '30000,32767',
      'routing-mode': 'native',
      'tunnel-protocol': 'geneve',
    })
    expect(given({ 'log-level': 'debug' })).toMatchObject({ debug: 'true', 'log-level': 'debug' })
  })
})
