import { describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { split } from '../../lab/store.ts'
import { clusterNamed, topologyFor } from '../../lab/topology.ts'

const west = clusterNamed(topologyFor(), 'west')
const service = (name: string, spec = 'ports: [{port: 80}]'): string =>
  `apiVersion: v1\nkind: Service\nmetadata: {name: ${name}}\nspec: {${spec}}\n`

describe('splitting manifests into objects', () => {
  test('one file per object, named after it, so that applying it again replaces it', () => {
    const items = split('any.yaml', `${service('webpod')}---\n${service('other')}`, west)
    expect(items.map((item) => item.file)).toEqual(['service-default-webpod.yaml', 'service-default-other.yaml'])
  })

  test.each([
    ['a syntax error', 'kind: Service\nmetadata: {name: x\n'],
    ['an object without a name', `${service('a')}---\nkind: Service\n`],
    ['the same object twice', `${service('a')}---\n${service('a')}`],
    ['a name that is a path', service('../../etc/passwd')],
    ['a list instead of an object', '- a\n- b\n'],
  ])('%s: the file is passed on as it is, for the agent to refuse', (_, text) => {
    expect(split('/tmp/bad.yaml', text, west)).toEqual([{ label: 'bad.yaml', file: 'bad.yaml', text }])
  })
})

describe('what the API server would add to a Service', () => {
  const spec = (text: string): unknown => parse(split('x.yaml', text, west)[0]?.text ?? '')

  test("the guide's service gets the guide's ClusterIP, another a stable one of the cluster's range", () => {
    expect(spec(service('webpod'))).toMatchObject({ spec: { clusterIP: '10.2.47.149' } })
    const other = spec(service('other')) as { spec: { clusterIP: string } }
    expect(other.spec.clusterIP).toMatch(/^10\.2\.\d+\.\d+$/)
    expect(spec(service('other'))).toEqual(other)
  })

  test('a LoadBalancer gets a node port and an address', () => {
    expect(spec(service('webpod', 'type: LoadBalancer, ports: [{port: 80}]'))).toMatchObject({
      spec: { ports: [{ port: 80, nodePort: expect.any(Number) as number }] },
      status: { loadBalancer: { ingress: [{ ip: '172.16.1.1' }] } },
    })
  })

  test.each([
    ['a ClusterIP', 'clusterIP: 10.2.0.9, ports: [{port: 80}]', { clusterIP: '10.2.0.9' }],
    ['a headless service', 'clusterIP: None, ports: [{port: 80}]', { clusterIP: 'None' }],
    [
      'a node port',
      'type: NodePort, ports: [{port: 80, nodePort: 70000}]',
      { ports: [{ port: 80, nodePort: 70_000 }] },
    ],
    ['ports that are no list', 'type: NodePort, ports: 80', { ports: 80 }],
  ])('%s that the author wrote stays as it is', (_, text, expected) => {
    expect(spec(service('webpod', text))).toMatchObject({ spec: expected })
  })
})
