/** Texts of objects, for files that tests write. */

export function service(
  name: string,
  options: { ip?: string; port?: number; annotation?: string; selector?: boolean } = {},
): string {
  const { ip = '10.2.0.1', port = 80, annotation, selector = true } = options
  return [
    'apiVersion: v1',
    'kind: Service',
    'metadata:',
    `  name: ${name}`,
    ...(annotation === undefined ? [] : ['  annotations:', `    ${annotation}`]),
    'spec:',
    `  clusterIP: ${ip}`,
    '  ports:',
    `    - port: ${port}`,
    ...(selector ? ['  selector:', `    app: ${name}`] : []),
    '',
  ].join('\n')
}

export function slice(serviceName: string, addresses: readonly string[]): string {
  return `apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: ${serviceName}-1
  labels: {kubernetes.io/service-name: ${serviceName}}
addressType: IPv4
ports: [{port: 8080}]
endpoints: [${addresses.map((address) => `{addresses: [${address}]}`).join(', ')}]
`
}

export function pod(name: string, app: string, ip: string): string {
  return `apiVersion: v1
kind: Pod
metadata: {name: ${name}, labels: {app: ${app}}}
spec: {nodeName: worker}
status: {podIP: ${ip}, phase: Running}
`
}

export function node(name: string, ip: string): string {
  return `apiVersion: v1
kind: Node
metadata: {name: ${name}, labels: {topology.kubernetes.io/zone: a}}
spec: {podCIDR: 10.0.1.0/24}
status: {addresses: [{type: InternalIP, address: ${ip}}]}
`
}

export function documents(...texts: string[]): string {
  return texts.join('---\n')
}
