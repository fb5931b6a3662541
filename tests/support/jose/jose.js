// JWTs by npm's jose and, for ML-DSA, which node has no key for, by
// @noble/post-quantum; neither shares code with us. Prints one line.
//   thumbprint JWK
//   verify JWK TOKEN          the claims, or "refused: ..."
//   sign ALGORITHM CLAIMS     {"jwk": the public key, "token": ...}
import {webcrypto} from 'node:crypto';
import {ml_dsa65, ml_dsa87} from '@noble/post-quantum/ml-dsa.js';

globalThis.crypto ??= webcrypto;  // node 18
const jose = await import('jose');

const [operation, first, second] = process.argv.slice(2);
const mlDsa = {'ML-DSA-65': ml_dsa65, 'ML-DSA-87': ml_dsa87};

async function verify(jwk, token) {
  const scheme = mlDsa[jwk.alg];
  if (!scheme) {
    // As of the token's own time: the sample is of another year.
    const currentDate = new Date(jose.decodeJwt(token).iat * 1000);
    return (await jose.jwtVerify(token, await jose.importJWK(jwk),
                                 {currentDate, algorithms: [jwk.alg],
                                  typ: 'eat+jwt'})).payload;
  }
  const [header, payload, signature] = token.split('.');
  if (jose.decodeProtectedHeader(token).alg !== jwk.alg ||
      !scheme.verify(jose.base64url.decode(jwk.pub),
                     new TextEncoder().encode(`${header}.${payload}`),
                     jose.base64url.decode(signature))) {
    throw new Error('no signature');
  }
  return jose.decodeJwt(token);
}

async function sign(alg, claims) {
  const scheme = mlDsa[alg];
  if (!scheme) {
    const {publicKey, privateKey} =
        await jose.generateKeyPair(alg, {extractable: true});
    const token = await new jose.SignJWT(claims)
                      .setProtectedHeader({alg, typ: 'JWT'})
                      .sign(privateKey);
    return {jwk: await jose.exportJWK(publicKey), token};
  }
  const keys = scheme.keygen(crypto.getRandomValues(new Uint8Array(32)));
  const encode = (value) =>
      jose.base64url.encode(new TextEncoder().encode(JSON.stringify(value)));
  const input = `${encode({alg})}.${encode(claims)}`;
  const signature =
      scheme.sign(keys.secretKey, new TextEncoder().encode(input));
  return {
    jwk: {kty: 'AKP', alg, pub: jose.base64url.encode(keys.publicKey)},
    token: `${input}.${jose.base64url.encode(signature)}`,
  };
}

switch (operation) {
  case 'thumbprint':
    console.log(await jose.calculateJwkThumbprint(JSON.parse(first)));
    break;
  case 'verify':
    try {
      console.log(JSON.stringify(await verify(JSON.parse(first), second)));
    } catch (error) {
      console.log(`refused: ${error.message}`);
    }
    break;
  case 'sign':
    console.log(JSON.stringify(await sign(first, JSON.parse(second))));
    break;
  default:
    throw new Error(`unknown operation ${operation}`);
}
