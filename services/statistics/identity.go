package statistics

import (
	"slices"
	"strings"
	"unicode"
)

// identityWords are words, as they stand alone in the name of a field, that say who somebody is.
var identityWords = strings.Fields(`
	name names nom noms nome nomes nombre nombres vorname nachname alias
	dni nie nif cpf rg curp rut ssn nin mrz pnr imei imsi
	address addresses addr street zip plz ip ipv4 ipv6 mac
	phone tel fax cell mobile movil celular handy gsm
	email mail correo courriel
	iris retina photo foto selfie face dna dns
	dob birth born birthday
`)

// identityParts are parts of such names, wherever they stand.
var identityParts = strings.Fields(`
	firstname lastname surname givenname forename familyname fullname middlename maidenname personname username nickname
	passengername travelername travellername mothersname fathersname nameofperson
	prenom nomdefamille nomcomplet nomdenaissance patronyme apellido nombrecompleto primernombre sobrenome nomecompleto apelido
	vorname nachname familienname geburtsname vollername zuname
	passport passeport pasaporte passaporte reisepass
	documentno documentnumber documentnum documentid docnumber docno docnum docid numerodocumento
	numerodedocumento nrodocumento nodocumento numdocumento numerododocumento numerodudocument numerodocument numerodedocument
	dokumentnummer dokumentennummer ausweis cedula nationalid nationalidentity idnumber idcard identitycard identitynumber
	identitydocument carteidentite cartedidentite numeroidentite documentodeidentidad documentoidentidad
	carteiradeidentidade bilhetedeidentidade personalnumber personalid personid socialsecurity securitesociale
	nationalinsurance insurancenumber taxid taxnumber steuernummer numerofiscal visanumber visano numerodevisa visumnummer
	driverslicen driverlicen drivinglicen permisdeconduire licenciadeconducir fuhrerschein fuehrerschein
	address adresse direccion domicilio domicile endereco morada anschrift wohnort strasse postcode postalcode zipcode codepostal
	codigopostal postleitzahl
	phone telefon telefone telefono phonenumber telnumber mobilenumber handynummer rufnummer
	email correoelectronico
	ipaddress adresseip direccionip enderecoip macaddress
	biometri fingerprint fingertip empreinte huella impressaodigital fingerabdruck faceimage facialimage facescan facetemplate
	photograph fotografia lichtbild voiceprint palmprint irisscan geneticprofile
	dateofbirth birthdate birthday birthyear datedenaissance datenaissance naissance nacimiento nascimento geburtsdatum
	geburtstag geburtsjahr geboren
`)

// looksLikeIdentity reports whether a field of this name would say who somebody is: a name, the number of a document, an
// address, a number to call, a trait of the body, a date of birth. Case, separators and accents do not matter. It knows
// English, French, Spanish, Portuguese and German; that a name is not among these makes no field harmless.
func looksLikeIdentity(field string) bool {
	words := fieldWords(field)
	if slices.ContainsFunc(words, func(word string) bool { return slices.Contains(identityWords, word) }) {
		return true
	}
	whole := strings.Join(words, "")
	return slices.Contains(identityWords, whole) ||
		slices.ContainsFunc(identityParts, func(part string) bool { return strings.Contains(whole, part) })
}

// fieldWords splits a name such as "date_of-birth" or "dateOfBirth" into its words, in lower case and without accents.
func fieldWords(field string) []string {
	var words []string
	var word strings.Builder
	end := func() {
		if word.Len() > 0 {
			words = append(words, word.String())
			word.Reset()
		}
	}
	lower := false // the letter before is a small one
	for _, r := range field {
		switch {
		case unicode.IsUpper(r) && lower:
			end()
		case !unicode.IsLetter(r) && !unicode.IsDigit(r):
			if !unicode.Is(unicode.Mn, r) { // an accent of its own belongs to the letter before
				end()
			}
			lower = false
			continue
		}
		lower = unicode.IsLower(r)
		word.WriteString(unaccented(unicode.ToLower(r)))
	}
	end()
	return words
}

// unaccented returns the letter without its accent.
func unaccented(r rune) string {
	for _, group := range [...]string{"aàáâãäåā", "cçć", "eèéêëē", "iìíîïī", "nñ", "oòóôõöøō", "uùúûüū", "yýÿ"} {
		if strings.ContainsRune(group, r) {
			return group[:1]
		}
	}
	if r == 'ß' {
		return "ss"
	}
	return string(r)
}
