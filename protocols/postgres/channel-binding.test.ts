import assert from 'node:assert/strict';
import { test } from 'node:test';
import { endPointBinding } from './channel-binding.ts';

/**
 * Certificates made with openssl for this test (their keys are gone), and the digest openssl computes for the file
 * with the hash RFC 5929 prescribes.
 */
const CERTIFICATES = [
  {
    signature: 'RSA with MD5',
    der: `
      MIIB9jCCAV+gAwIBAgIUNmiUe1JKJOAwLCSqffmv5a2wKqwwDQYJKoZIhvcNAQEEBQAwDDEKMAgGA1UEAwwBdDAgFw0yNjExMjMx
      MjE3MDFaGA8yMTI2MTAzMDEyMTcwMVowDDEKMAgGA1UEAwwBdDCBnzANBgkqhkiG9w0BAQEFAAOBjQAwgYkCgYEAv9HK9SZPfzz2
      fRYJnUTT/dVgeE4ekhmWxL3DanPr/qgNoPLQxHs2yTPni2oPqAmOYR+6nKZAEaeAgLubTJbY5Ar5qoeGDK+xsX1eg/veJ6h77h1c
      nccWM3V1YjHNx2gxIaaPrtNGBVLUr9eyZxTjm8IYN1gX1VtC+d4oejeH5okCAwEAAaNTMFEwHQYDVR0OBBYEFISt+yfQsT4t3Mcm
      yxbfy1wmb89GMB8GA1UdIwQYMBaAFISt+yfQsT4t3Mcmyxbfy1wmb89GMA8GA1UdEwEB/wQFMAMBAf8wDQYJKoZIhvcNAQEEBQAD
      gYEAone+ultuDORXHnZju0RmXA2um8uvytN8QCnxk5uyIKrvf6/9Eqg3f7dWduJXb37dakHkk85Tk3lgGYim4leEd1ghdC1G51p4
      XVFOv48QkbDcxISHOGs7F5KxQkYVz67uxeJRobar+J3mQepkVyv75VHuTaC3ZUMJmjsqAEgGvq0=
    `,
    binding: '71ed39ff4af1b07e92658dd99873aa4826dc0a01d3b2c74a6f983c8cac16045a',
  },
  {
    signature: 'RSA with SHA-1',
    der: `
      MIIB9jCCAV+gAwIBAgIUZkZrnthEHdDGirNMq/JS5UdxsrgwDQYJKoZIhvcNAQEFBQAwDDEKMAgGA1UEAwwBdDAgFw0yNjExMjMx
      MjE3MDFaGA8yMTI2MTAzMDEyMTcwMVowDDEKMAgGA1UEAwwBdDCBnzANBgkqhkiG9w0BAQEFAAOBjQAwgYkCgYEAv9HK9SZPfzz2
      fRYJnUTT/dVgeE4ekhmWxL3DanPr/qgNoPLQxHs2yTPni2oPqAmOYR+6nKZAEaeAgLubTJbY5Ar5qoeGDK+xsX1eg/veJ6h77h1c
      nccWM3V1YjHNx2gxIaaPrtNGBVLUr9eyZxTjm8IYN1gX1VtC+d4oejeH5okCAwEAAaNTMFEwHQYDVR0OBBYEFISt+yfQsT4t3Mcm
      yxbfy1wmb89GMB8GA1UdIwQYMBaAFISt+yfQsT4t3Mcmyxbfy1wmb89GMA8GA1UdEwEB/wQFMAMBAf8wDQYJKoZIhvcNAQEFBQAD
      gYEAcF/Ps9okuRYKgBfXwvD9KPVGwdnupQHxVLkbHck5IgnJNTb4elltFNSnnQ17pmy7TpaUh6M7AM9vpLE8gF0GXtYfvbqCa5Ic
      l10NBDw62YsF/KHQmcN73Ph5EmBvz7va4bztxnuuO0hTqiQsxsOXbADoTYq1qQv34j7v6FE9gSE=
    `,
    binding: 'b9cd3ebacba3967533b942519c1406ab1ccd300ce6d8a0aa5692e68d612dff44',
  },
  {
    signature: 'RSA with SHA-512',
    der: `
      MIIB9jCCAV+gAwIBAgIUei5oVRoRfjHQJXvUjILyQEWjD1gwDQYJKoZIhvcNAQENBQAwDDEKMAgGA1UEAwwBdDAgFw0yNjExMjMx
      MjE3MDFaGA8yMTI2MTAzMDEyMTcwMVowDDEKMAgGA1UEAwwBdDCBnzANBgkqhkiG9w0BAQEFAAOBjQAwgYkCgYEAv9HK9SZPfzz2
      fRYJnUTT/dVgeE4ekhmWxL3DanPr/qgNoPLQxHs2yTPni2oPqAmOYR+6nKZAEaeAgLubTJbY5Ar5qoeGDK+xsX1eg/veJ6h77h1c
      nccWM3V1YjHNx2gxIaaPrtNGBVLUr9eyZxTjm8IYN1gX1VtC+d4oejeH5okCAwEAAaNTMFEwHQYDVR0OBBYEFISt+yfQsT4t3Mcm
      yxbfy1wmb89GMB8GA1UdIwQYMBaAFISt+yfQsT4t3Mcmyxbfy1wmb89GMA8GA1UdEwEB/wQFMAMBAf8wDQYJKoZIhvcNAQENBQAD
      gYEAGXMSQ3gOG9lPnJUVks+x9oyO12zRgea6STA8hjm0sZW/nwNc3Dwv6y2f8nHCRdEzICpyYJMyqhF2xxeanbnHe2e8lge7Wse6
      3iyQFT8W3+pqDHj+xDBfrVBLLqYNBEXsvSiQy1dl8WbGr0+jFytXDu3W5wYRtp1M5WvNPXcbv6o=
    `,
    binding:
      '9dfc383c20c9e33a26c7a3ad88a21a4a8514288f2ff68a56f8da0dd310a5b8f0a1b69ee5f667374d1af8f98c54040aa6bd3ee1acd82ff1e0962ebe3f60e77be1',
  },
  {
    signature: 'RSASSA-PSS with SHA-1, its default',
    der: `
      MIIB9jCCAV+gAwIBAgIUS/MC3ZhPmE+Uei6Hws0yCKidfuowDQYJKoZIhvcNAQEKMAAwDDEKMAgGA1UEAwwBdDAgFw0yNjExMjMx
      MjE3MDFaGA8yMTI2MTAzMDEyMTcwMVowDDEKMAgGA1UEAwwBdDCBnzANBgkqhkiG9w0BAQEFAAOBjQAwgYkCgYEAv9HK9SZPfzz2
      fRYJnUTT/dVgeE4ekhmWxL3DanPr/qgNoPLQxHs2yTPni2oPqAmOYR+6nKZAEaeAgLubTJbY5Ar5qoeGDK+xsX1eg/veJ6h77h1c
      nccWM3V1YjHNx2gxIaaPrtNGBVLUr9eyZxTjm8IYN1gX1VtC+d4oejeH5okCAwEAAaNTMFEwHQYDVR0OBBYEFISt+yfQsT4t3Mcm
      yxbfy1wmb89GMB8GA1UdIwQYMBaAFISt+yfQsT4t3Mcmyxbfy1wmb89GMA8GA1UdEwEB/wQFMAMBAf8wDQYJKoZIhvcNAQEKMAAD
      gYEAKP5jXr1/zlUP3xKp0E00YBv3ExaA9qazigc8MojZzP1/6XOfbXxXTBfPeMGUcTmIV04eOYiPSqk7nF8t3QZM9P+tN6wU3uoA
      DyMtmDJqXXAibMlfsgQiecU5f9EVF7/UEWPbrF88xZQw9UwfO/Mbl2vZvXwJRDa8jUdDSuGB5Gk=
    `,
    binding: '969d3e68fa3f3f84e0dc2749f6f0774cd0bed20eebd4c593a0df0aeefb7bd318',
  },
  {
    signature: 'RSASSA-PSS with SHA-384',
    der: `
      MIICVDCCAY6gAwIBAgIUPZ5A+DWZfY/5nX7dnQQBn0/OHIAwPAYJKoZIhvcNAQEKMC+gDzANBglghkgBZQMEAgIFAKEcMBoGCSqG
      SIb3DQEBCDANBglghkgBZQMEAgIFADAMMQowCAYDVQQDDAF0MCAXDTI2MTEyMzEyMTcwMVoYDzIxMjYxMDMwMTIxNzAxWjAMMQow
      CAYDVQQDDAF0MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQC/0cr1Jk9/PPZ9FgmdRNP91WB4Th6SGZbEvcNqc+v+qA2g8tDE
      ezbJM+eLag+oCY5hH7qcpkARp4CAu5tMltjkCvmqh4YMr7GxfV6D+94nqHvuHVydxxYzdXViMc3HaDEhpo+u00YFUtSv17JnFOOb
      whg3WBfVW0L53ih6N4fmiQIDAQABo1MwUTAdBgNVHQ4EFgQUhK37J9CxPi3cxybLFt/LXCZvz0YwHwYDVR0jBBgwFoAUhK37J9Cx
      Pi3cxybLFt/LXCZvz0YwDwYDVR0TAQH/BAUwAwEB/zA8BgkqhkiG9w0BAQowL6APMA0GCWCGSAFlAwQCAgUAoRwwGgYJKoZIhvcN
      AQEIMA0GCWCGSAFlAwQCAgUAA4GBADofy0RsHDFY6yxJiAWKeg7hM722gbRtWdcJ/rGutIDsOWPVxTeUifvYV+FQ1hgewm4ZJQJx
      mUpUT63YrinhnO6GDxT4Rghy6PkYwoDxit47vznYwkMpYOo/atJx/rwD6uePs2Z7IYH/DgGpPaC45sBx+7XTER9yCP9zNkESPp+p
    `,
    binding: '1911e22dbe2df71fc356834a90935348c28d4ec10301030d77e1355ab1260770bbf8a313b942575c69766b8893f72ce4',
  },
  {
    signature: 'ECDSA with SHA-1',
    der: `
      MIIBazCCARSgAwIBAgIUGqYdsxtjNn93wdUw4h8c2qY4DIkwCQYHKoZIzj0EATAMMQowCAYDVQQDDAF0MCAXDTI2MTEyMzEyMTcw
      MVoYDzIxMjYxMDMwMTIxNzAxWjAMMQowCAYDVQQDDAF0MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEdU9EhHpI5182UnFiyiFf
      iqAo0g+PYCkh1+0/RsrcKFaH3OocuR53lp8aLfvh/GtADWaeMzS38DTsnwRbLqCd2aNTMFEwHQYDVR0OBBYEFI9h5TOv530/Ls2D
      OPU3z503LiMyMB8GA1UdIwQYMBaAFI9h5TOv530/Ls2DOPU3z503LiMyMA8GA1UdEwEB/wQFMAMBAf8wCQYHKoZIzj0EAQNGADBD
      AiBXpuwoH7YE6mxhaHBEK4x2djyXqIut35vJ9SdfsVOTFQIfP2jX8Dp3SsWzZRA43P0jwjxtV+wUhKF36yZOWjX1WA==
    `,
    binding: 'e8a354c3bcdf2ccbfe67a69ecf3f991a59620b797a8a3e72759cbeb0136af238',
  },
  {
    signature: 'ECDSA with SHA-256',
    der: `
      MIIBcDCCARWgAwIBAgIUNReaJ+3LcFqhknyDdDjCAYYRXfowCgYIKoZIzj0EAwIwDDEKMAgGA1UEAwwBdDAgFw0yNjExMjMxMjE3
      MDFaGA8yMTI2MTAzMDEyMTcwMVowDDEKMAgGA1UEAwwBdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABHVPRIR6SOdfNlJxYsoh
      X4qgKNIPj2ApIdftP0bK3ChWh9zqHLked5afGi374fxrQA1mnjM0t/A07J8EWy6gndmjUzBRMB0GA1UdDgQWBBSPYeUzr+d9Py7N
      gzj1N8+dNy4jMjAfBgNVHSMEGDAWgBSPYeUzr+d9Py7Ngzj1N8+dNy4jMjAPBgNVHRMBAf8EBTADAQH/MAoGCCqGSM49BAMCA0kA
      MEYCIQDDt8LwiemSDeTs0mWKP9YEcJNBwRpFnBEY1E4/fYd0RQIhAI+4zbodjlH33wf3jgaIIPPP9bKWcwH6+opyNv1F6E2N
    `,
    binding: 'ce9276c6d82d8de380ae4c20afe5708eb2d7a4550ffa481d8519a61f0a601da1',
  },
  {
    signature: 'ECDSA with SHA-384',
    der: `
      MIIBbzCCARWgAwIBAgIUK2Q4g74aJPG9y6LSjkm/tlLXTk0wCgYIKoZIzj0EAwMwDDEKMAgGA1UEAwwBdDAgFw0yNjExMjMxMjE3
      MDFaGA8yMTI2MTAzMDEyMTcwMVowDDEKMAgGA1UEAwwBdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABHVPRIR6SOdfNlJxYsoh
      X4qgKNIPj2ApIdftP0bK3ChWh9zqHLked5afGi374fxrQA1mnjM0t/A07J8EWy6gndmjUzBRMB0GA1UdDgQWBBSPYeUzr+d9Py7N
      gzj1N8+dNy4jMjAfBgNVHSMEGDAWgBSPYeUzr+d9Py7Ngzj1N8+dNy4jMjAPBgNVHRMBAf8EBTADAQH/MAoGCCqGSM49BAMDA0gA
      MEUCIAnTtNXHc4I9jZ2PMgEOs1KPEsmErajG4y1cjJGmAnVfAiEAikMqmM9VAG8oXawUA7BoPkhPFYkMovXrrh4nXY90td0=
    `,
    binding: 'efc17ae90575b6db0969dbd591d45e06f0e05a8bf01c72ab4245cc17298bf04e802b5669eae5b2d305a04489cb7ad4a2',
  },
  {
    signature: 'Ed25519',
    der: `
      MIIBLjCB4aADAgECAhRgaZvkyjFLYsEHxHOFUGMnp5tD7TAFBgMrZXAwDDEKMAgGA1UEAwwBdDAgFw0yNjExMjMxMjE3MDFaGA8y
      MTI2MTAzMDEyMTcwMVowDDEKMAgGA1UEAwwBdDAqMAUGAytlcAMhACbmu0wtTwCIJZ+LNKsaUa12/MaISdkdH0z2QVwAOCMwo1Mw
      UTAdBgNVHQ4EFgQUqBx8725xtUbnosWnQMzAWIOcNn8wHwYDVR0jBBgwFoAUqBx8725xtUbnosWnQMzAWIOcNn8wDwYDVR0TAQH/
      BAUwAwEB/zAFBgMrZXADQQDlT3Y8z45qIDz8J97h4nMa7dbH3emAKt4SWI1pzp2YCkoAiAZbX0qWEPJ2hO34xwH+xg5W2otoz2Mo
      BAGAaewF
    `,
    binding: null,
  },
];

for (const { signature, der, binding } of CERTIFICATES) {
  test(`the binding of a certificate signed by ${signature} ${binding === null ? 'is not defined' : 'is what RFC 5929 says'}`, () => {
    assert.equal(endPointBinding(Buffer.from(der, 'base64'))?.toString('hex') ?? null, binding);
  });

  test(`a certificate signed by ${signature} and cut short anywhere has no binding`, () => {
    const certificate = Buffer.from(der, 'base64');
    for (let length = 0; length < certificate.length; length += 1) {
      assert.equal(endPointBinding(certificate.subarray(0, length)), null, `cut to ${length} bytes`);
    }
  });
}
